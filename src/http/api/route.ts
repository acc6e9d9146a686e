import {
  type AbortOptions,
  JobError,
  type JobRegistry,
  type JobStatus,
  type LiveStatus,
  type ResetOptions,
  type SearchFilter,
  type SearchResult,
  type StartedExecution,
  type StartOptions,
} from '../../index.js'
import type { DetailOf } from '../../wire/index.js'
import type { TextStream } from '../answers/index.js'
import type { EventBroadcaster } from '../events/index.js'
import type { Parameters, Values } from './parameters.js'
import type { BodyRead } from './request-body.js'
import type { BodyName } from './schemas.js'
import type { Client, StorageLimiter } from './storage-limiter.js'

/** The methods of a registry that the API calls. */
export interface ServedRegistry
  extends Pick<JobRegistry, 'has' | 'health' | 'on'>,
    Partial<Pick<JobRegistry, 'closed' | 'redactor' | 'jobs' | 'pause' | 'unpause' | 'pauseAll' | 'unpauseAll'>> {
  start(type: string, id: string, options?: StartOptions): Promise<StartedExecution>
  status(type: string, id: string): Promise<JobStatus | undefined>
  running(type: string, options?: { detail?: boolean }): Promise<LiveStatus[]>
  abort(type: string, id: string, options?: AbortOptions): Promise<JobStatus | undefined>
  search(filter?: SearchFilter, options?: { detail?: boolean }): Promise<SearchResult<JobStatus>>
  reset?(type: string, id: string, options?: ResetOptions): Promise<JobStatus | undefined>
}

/** The kind of a call. */
export type JobsAction = 'read' | 'start' | 'abort' | 'pause' | 'reset' | 'events'

/**
 * The job that a call is about. The path names it, or only the type for the list of a type. For `_search` and
 * `_events`, the query names the `type`, the `id`, or both. Empty for calls about all jobs.
 */
export interface NamedJob {
  /** The job's type. */
  type?: string
  /** The job's id. */
  id?: string
}

/** One route of the API: its description for OpenAPI, and its answer. */
export interface Route<Path extends string = string, Table extends Parameters = Parameters> {
  /** The name of the operation. */
  readonly name: string
  readonly method: 'GET' | 'POST'
  /** The path below the base path. `{type}` and `{id}` stand for one part each. */
  readonly path: Path
  /** What `authorize` is asked for. */
  readonly action: JobsAction
  /** One sentence. */
  readonly summary: string
  readonly parameters: Table
  /** What the message about an unknown parameter adds. Default: nothing. */
  readonly unknownHint?: string
  /** The body of a request. Default: none, and a `POST` that has one is refused. */
  readonly requestBody?: BodyName
  /** The answers of this route only, by status. */
  readonly answers: Readonly<Record<number, AnswerDescription>>
  answer(call: Call<Path, Table>): Promise<Reply>
}

/** The description of an answer. */
export interface AnswerDescription {
  readonly description: string
  /** The body. Default: text. */
  readonly body?: BodyName
  /** Default `application/json`. */
  readonly mediaType?: string
}

/** A call of a route. */
export interface Call<Path extends string = string, Table extends Parameters = Parameters> {
  readonly registry: ServedRegistry
  /** The job that the path names. */
  readonly job: JobIn<Path>
  /** The values of the parameters. */
  readonly options: Values<Table>
  /** The request: its method, its headers with case-insensitive names, and whether its client has disconnected. */
  readonly request: { readonly method: string; readonly headers: { get(name: string): string | null } } & Client
  /** Limits the use of storage. */
  readonly limiter: StorageLimiter
  /** The source of event streams. */
  readonly broadcaster: EventBroadcaster
  /** Reads the body: a JSON object with some of these fields, or nothing. Throws `invalid_options`. */
  body(...names: string[]): BodyRead | Promise<BodyRead>
  /** Makes the detail of each status of the answer. Absent unless the call asks for it. */
  readonly detailOf: DetailOf | undefined
  /** The indentation of the answer. */
  readonly indent: number
  /** The base path. */
  readonly base: string
  /** All routes. */
  readonly routes: readonly Route[]
}

type JobIn<Path extends string> = Path extends `${string}{id}${string}`
  ? Required<NamedJob>
  : Path extends `${string}{type}${string}`
    ? Required<Pick<NamedJob, 'type'>>
    : NamedJob

/** An answer before serialization. */
export interface Reply {
  readonly status: number
  /** A value for JSON, or a stream, with its `content-type` in the headers. */
  readonly body: object | TextStream
  readonly headers?: Record<string, string>
  /** Why the call failed: messages for the logger only. */
  readonly failure?: readonly string[]
}

/** Defines a route. TypeScript checks its answer against its path and its parameters. */
export function defineRoute<const Path extends string, Table extends Parameters>(
  route: Route<Path, Table>,
): Route<Path, Table> {
  return route
}

/** A method that a registry of the caller may lack. Throws `not_supported` without it. */
export function methodOf<Name extends 'jobs' | 'reset' | 'pause' | 'unpause' | 'pauseAll' | 'unpauseAll'>(
  registry: ServedRegistry,
  name: Name,
): JobRegistry[Name] {
  const method = registry[name]
  if (typeof method === 'function') return method.bind(registry) as JobRegistry[Name]
  throw new JobError('not_supported', `The registry does not have the method \`${name}\`, which the call needs.`)
}
