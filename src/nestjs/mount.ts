import { All, Controller, Inject, Req, Res, UseGuards, VERSION_NEUTRAL } from '@nestjs/common'
import type { JobsHandler } from '../http/index.js'
import { type NodeResponse, toNodeHandler } from '../http/mounts/node.js'
import { answerOf, type NodeRequest, toReadable } from '../http/mounts/node-request.js'
import type { ServerHost } from './nest.js'

/** Where a handler is mounted in Nest. */
export interface MountOptions {
  /** The path below the global prefix of the application, such as `jobs`. */
  path: string
  /** Guards of the handler, as for `@UseGuards`: they run before `authorize`. Default: none besides those of the application. */
  guards?: readonly object[]
}

/** Creates the handler for a base path: one that begins with the global prefix. */
export type CreateHandler = (basePath: string) => JobsHandler

/** The part of a request of Express or Fastify that tells which route took it. */
interface RoutedRequest extends NodeRequest {
  route?: { path: string }
  routeOptions?: { url: string }
}

/** The part of Fastify's reply that headgate uses. */
interface FastifyReply {
  raw: NodeResponse
  code(status: number): { headers(headers: Record<string, string>): { send(payload: unknown): unknown } }
}

/** Answers the requests of one controller. */
export class MountedHandler {
  readonly #create: CreateHandler
  /** By their base path, which only a route knows: prefixes and versions come before the path. */
  readonly #handlers = new Map<string, JobsHandler>()

  /** Throws `invalid_options` for options of the handler that are not valid, when the application starts. */
  constructor(create: CreateHandler) {
    this.#create = create
    create('/')
  }

  async answer(request: RoutedRequest, response: NodeResponse | FastifyReply): Promise<void> {
    const pattern = request.routeOptions?.url ?? request.route?.path ?? '/'
    const handler = this.#handlerOf(pattern.replace(/\/[^/]*\*[^/]*$/, '') || '/')
    if (!('raw' in response)) return toNodeHandler(handler)(request, response)
    const { status, headers, body } = await answerOf(handler, request, response.raw, request.url ?? '')
    const payload = typeof body === 'string' ? body : toReadable(body, request, response.raw)
    response.code(status).headers(headers).send(payload)
  }

  #handlerOf(basePath: string): JobsHandler {
    const handler = this.#handlers.get(basePath) ?? this.#create(basePath)
    this.#handlers.set(basePath, handler)
    return handler
  }
}

/** A class of a controller whose methods are decorated when the server is known. */
export interface MountController {
  new (mounted: MountedHandler): object
  prototype: object
}

/** A controller that passes all requests below a path to a {@link MountedHandler}, which `token` injects. */
export function createController({ path, guards = [] }: MountOptions, token: symbol): MountController {
  class HeadgateController {
    readonly #mounted: MountedHandler

    constructor(mounted: MountedHandler) {
      this.#mounted = mounted
    }

    handle(request: RoutedRequest, response: NodeResponse | FastifyReply): Promise<void> {
      return this.#mounted.answer(request, response)
    }
  }
  Controller({ path, version: VERSION_NEUTRAL })(HeadgateController)
  if (guards.length > 0) UseGuards(...(guards as Parameters<typeof UseGuards>))(HeadgateController)
  Inject(token)(HeadgateController, undefined, 0)
  Req()(HeadgateController.prototype, 'handle', 0)
  Res()(HeadgateController.prototype, 'handle', 1)
  return HeadgateController
}

/** Gives a controller its routes, in the words of the router: call it before Nest registers them. */
export function routeController({ prototype }: MountController, { httpAdapter }: ServerHost): void {
  const descriptor = Object.getOwnPropertyDescriptor(prototype, 'handle') as TypedPropertyDescriptor<unknown>
  All(['/', wildcardOf(httpAdapter)])(prototype, 'handle', descriptor)
}

/** Fastify, and Express 4 of Nest 10, know wildcards without a name, and Express 5 with one. */
function wildcardOf(adapter: ServerHost['httpAdapter']): string {
  const isUnnamed = adapter.getType() === 'fastify' || 'lazyrouter' in Object(adapter.getInstance())
  return isUnnamed ? '/*' : '/*path'
}
