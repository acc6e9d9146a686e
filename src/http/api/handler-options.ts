import { checkOptions, type Rule, rule } from '../../adapter.js'
import type { Clock, Logger } from '../../index.js'
import type { TextStream } from '../answers/index.js'
import { isHostName } from './csrf.js'
import type { JobsAction, NamedJob, ServedRegistry } from './route.js'

/** The options of `createJobsHandler`. */
export interface JobsHandlerOptions {
  /** The base path of all calls: `/`, or a path without a trailing slash. Default `/_siren/connector/jobs`. */
  basePath?: string
  /** Decides whether a call is allowed. Default: every caller may make every call. */
  authorize?: Authorize
  /** How long `authorize` may take, in milliseconds, 1 to 600,000. Later, the call answers 500. Default 10,000. */
  authorizeTimeout?: number
  /**
   * The host names of the server, such as `localhost` or `jobs.example.com:8080`. A call with another `Host` is
   * refused with 403. A name without a port matches every port. Default: every `Host` is accepted. This protects a
   * server that trusts its network, such as one on loopback, from DNS rebinding.
   */
  allowedHosts?: readonly string[]
  /**
   * Origins of other sites whose pages may change jobs, such as `https://admin.example.com`. Default: none.
   * Other cross-site calls of browsers are refused with 403. This does not set CORS headers; the host does.
   */
  allowedOrigins?: readonly string[]
  /** Logs calls that failed, with the reason. Default: no logging. */
  logger?: Pick<Logger, 'error'>
  /** How often a stream of events sends a keep-alive, in milliseconds, 100 to 30,000. Default 15,000. */
  keepAlive?: number
  /** The clock. Default: that of the machine. */
  clock?: Clock
}

/**
 * Decides whether a call is allowed: `true`, `false` for 403, or a {@link Refusal}. It is called for every request
 * under the base path, before anything is read, changed or answered. A request that matches no call of the API is
 * asked about as a `read` without a job. An error that it throws is logged and answered with 500.
 */
export type Authorize = (
  request: JobsRequest,
  action: JobsAction,
  job: NamedJob,
) => boolean | Refusal | Promise<boolean | Refusal>

/** A refusal with a status and a reason. */
export interface Refusal {
  /** 401 for an unknown caller, 403 for a known caller without permission. */
  status: 401 | 403
  /** The reason in the answer. Default: a general sentence. */
  reason?: string
  /** Headers of the answer, such as `www-authenticate`. Those of its body, such as `content-length`, are dropped. */
  headers?: Record<string, string>
}

/** A request, independent of the server. */
export interface JobsRequest {
  /** The method, in upper case. */
  method: string
  /** The URL: absolute or from the path on, percent-encoded as received. */
  url: string
  /** The headers; names are case-insensitive. */
  headers: { get(name: string): string | null }
  /** The request of the underlying server: a `Request`, or a node or Express request. */
  native: unknown
  /**
   * Reads the body: resolves with its text or bytes, with the value that a parser has made of it, or with `undefined` when there is
   * none. Stops after `maxBytes`, with more than that. Called at most once, after `authorize`, and for `POST` only. Default: no body.
   */
  readonly body?: ((maxBytes: number) => Promise<unknown>) | undefined
  /**
   * Aborts when the client disconnects before the answer. The handler then drops its work for that client. Default:
   * never.
   */
  readonly signal?: AbortSignal | undefined
}

/** An answer, independent of the server. */
export interface JobsAnswer {
  /** The HTTP status. */
  status: number
  /** The headers, in lower case, with `content-length` unless the body is a stream. */
  headers: Record<string, string>
  /** The body: JSON text, empty for `HEAD`, or a stream of text. */
  body: string | TextStream
}

/** The base path unless the options have another. */
export const defaultBasePath = '/_siren/connector/jobs'

const served = rule.having('has', 'start', 'status', 'running', 'abort', 'search', 'health', 'on')

const registryRule: Rule = {
  ...served,
  expected: `a registry, ${served.expected}`,
  hint: (value) => {
    if (served.accepts(Object(value).registry)) return ' that has the registry as `registry`: give that one'
    if (isHandler(value))
      return ' that is a handler already, as `createJobsHandler(registry)` returns it: give the registry'
    const isClient = typeof Object(value).request === 'function'
    return isClient
      ? ' that looks like a client: `createDashboardHandler(client)` takes one'
      : (served.hint?.(value) ?? '')
  },
}

const handlerRules = {
  basePath: {
    accepts: (value: unknown) => typeof value === 'string' && /^(\/|(\/[\w.~!$&'()*+,;=:@%-]+)+)$/.test(value),
    expected: '`/`, or a path that begins with a slash and does not end with one, such as `/api/jobs`',
    optional: true,
  },
  authorize: rule.optional(rule.aFunction),
  authorizeTimeout: rule.optional(rule.milliseconds(1, 600_000)),
  allowedHosts: {
    accepts: (value: unknown) => Array.isArray(value) && value.length > 0 && value.every(isHostName),
    expected: 'a list of one or more names of hosts, such as `localhost` or `jobs.example.com:8080`',
    optional: true,
  },
  allowedOrigins: {
    accepts: (value: unknown) => Array.isArray(value) && value.every(isOrigin),
    expected: 'a list of origins, such as `https://admin.example.com`',
    optional: true,
  },
  logger: rule.optional(rule.having('error')),
  keepAlive: rule.optional(rule.whole(100, 30_000)),
  clock: rule.optional(rule.aClock),
}

/** Validates what serves as registry. `orElse` is what is accepted beside one, for the message. Throws `invalid_options`. */
export function checkRegistry(registry: ServedRegistry, orElse = ''): void {
  const rule = { ...registryRule, expected: `${registryRule.expected}${orElse}` }
  checkOptions('arguments', { registry }, { registry: rule })
}

/** Whether a value is what `createJobsHandler` or `createDashboardHandler` returns. */
export function isHandler(value: unknown): boolean {
  const { answer, covers } = Object(value ?? {}) as Record<string, unknown>
  return typeof answer === 'function' && typeof covers === 'function'
}

const handlerRule: Rule = {
  accepts: isHandler,
  expected: 'what `createJobsHandler(registry)` or `createDashboardHandler(registry)` returns',
}

/** Validates what a server mounts. Throws `invalid_options`. */
export function checkHandler(handler: unknown): void {
  checkOptions('arguments', { handler }, { handler: handlerRule })
}

/** Validates the options of `createJobsHandler`. Throws `invalid_options`. */
export function checkHandlerOptions(options: JobsHandlerOptions): void {
  checkOptions('options', options, handlerRules)
}

function isOrigin(value: unknown): boolean {
  return typeof value === 'string' && URL.canParse(value) && new URL(value).origin === value
}
