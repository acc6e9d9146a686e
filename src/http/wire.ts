import {
  type AbortOptions,
  executionOrder,
  invalid,
  isLive,
  JobError,
  type JobErrorCode,
  type JobState,
  type JobStatus,
  jobErrorCodes,
  jobStates,
  type Rule,
  rule,
  type SearchFilter,
  type SearchResult,
} from '../index.js'
import { type Schema, schemas } from './_schemas.js'

/** A status as the protocol prints it. */
export interface WireStatus {
  /** The version of the form. */
  version: 1
  /** The job's id. */
  id: string
  /** Whether the execution runs, also while it aborts. */
  is_running: boolean
  /** An abort was asked for; stays on the aborted status. */
  is_aborting?: true
  /** When it began, in epoch milliseconds. */
  start_time: number
  /** When it ended, in epoch milliseconds. */
  end_time?: number
  /** One sentence for a person. */
  infos: string
  /** The messages of the error and its causes, outermost first; in state `error` only. */
  error?: string[]
  /** Where the execution is in its life. */
  state: JobState
  /** Records processed so far. */
  count: number
  /** The last known value of the primary key column. */
  last_id?: string
}

/** The answer about one job. */
export interface WireJob {
  /** The job's id. */
  _id: string
  /** The job's type. */
  type: string
  /** Whether the job is defined or has ever run. */
  found: boolean
  /** The status, where there is one. */
  status?: WireStatus
}

/** An entry of the log. */
export interface WireHit {
  /** The id of the execution in the log. */
  _id: string
  /** The status, under the job's type. */
  _source: Record<string, WireStatus>
}

/** A list: of jobs, or of entries of the log. */
export interface WireHits<Hit> {
  hits: {
    /** How many match in all. */
    total: number
    hits: Hit[]
  }
}

/** The answer to a call that went wrong. */
export interface WireError {
  error: {
    /** What went wrong, for programs. */
    type: WireErrorType
    /** What went wrong, for people. */
    reason: string
  }
  /** The HTTP status. */
  status: number
}

/** The type of an error body, and the HTTP status that it comes with. */
export const wireErrors = {
  invalid_request: 400,
  unauthorized: 401,
  forbidden: 403,
  not_found: 404,
  not_defined: 404,
  method_not_allowed: 405,
  already_running: 409,
  uri_too_long: 414,
  internal: 500,
  closed: 503,
  storage: 503,
} as const

/** What went wrong, for programs. */
export type WireErrorType = keyof typeof wireErrors

/** What the wire makes of the codes that a caller may hear about. */
const errorTypes: Partial<Record<JobErrorCode, WireErrorType>> = {
  invalid_options: 'invalid_request',
  not_defined: 'not_defined',
  already_running: 'already_running',
  closed: 'closed',
  storage: 'storage',
}

/** The body of an error. */
export function errorBody(type: WireErrorType, reason: string): WireError {
  return { error: { type, reason }, status: wireErrors[type] }
}

/** The body of what is nobody's business. */
export const internalError = errorBody('internal', 'The call could not be answered.')

/** The body of what was thrown. What is not the caller's fault is told without details. */
export function thrownBody(error: unknown): WireError {
  const type = JobError.isInstance(error) ? errorTypes[error.code] : undefined
  if (type === undefined) return internalError
  const { code, message } = error as JobError
  return errorBody(type, wireErrors[type] < 500 ? message : jobErrorCodes[code])
}

/** A status as the protocol prints it, its keys in the protocol's order. */
export function toWire(status: JobStatus): WireStatus {
  const { id, startTime, infos, state, count, lastId } = status
  return {
    version: 1,
    id,
    is_running: isLive(state) && state !== 'queued',
    ...((state === 'aborting' || state === 'aborted') && { is_aborting: true }),
    start_time: startTime,
    ...('endTime' in status && { end_time: status.endTime }),
    infos,
    ...('error' in status && { error: status.error }),
    state,
    count,
    ...(lastId !== undefined && { last_id: lastId }),
  }
}

/** The body about a job that is defined or has run. */
export function foundBody(type: string, id: string, status?: JobStatus): WireJob {
  return { _id: id, type, found: true, ...(status && { status: toWire(status) }) }
}

/** The body about a job that nobody knows. */
export function notFoundBody(type: string, id: string): WireJob {
  return { _id: id, type, found: false }
}

/** The body of a list of jobs. */
export function jobsBody(statuses: readonly JobStatus[]): WireHits<WireJob> {
  const hits = statuses.map((status) => foundBody(status.type, status.id, status))
  return { hits: { total: hits.length, hits } }
}

/** The body of a page of the log. */
export function searchBody({ total, hits }: SearchResult<JobStatus>): WireHits<WireHit> {
  const entry = (status: JobStatus) => ({ _id: status.executionId, _source: { [status.type]: toWire(status) } })
  return { hits: { total, hits: hits.map(entry) } }
}

/** A query parameter: its name on the wire, what it must be, and how its text becomes a value. */
export interface Parameter<Value = unknown> {
  name: string
  rule: Rule
  /** The same for machines, in JSON Schema. */
  schema: Schema
  /** The value, or `undefined` when the text is none. */
  parse(text: string): Value | undefined
}

/** The query parameters of a call, under the names of the options that they set. */
export type Parameters = Record<string, Parameter>

/** The options that query parameters set. */
export type Values<Table extends Parameters> = {
  [Option in keyof Table]?: Table[Option] extends Parameter<infer Value> ? Value : never
}

/** The units of a length of time, in milliseconds. */
const units: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** No timer can wait longer, in milliseconds. */
const maxDuration = 24 * 86_400_000

const flags: Record<string, boolean> = { true: true, false: false }

/** The parameter of every call: whether the answer is to be indented. */
export const pretty: Parameter<boolean> = {
  name: 'pretty',
  rule: { ...rule.flag, expected: 'true, false or nothing' },
  schema: { enum: [true, false, ''] },
  parse: (value) => (value === '' ? true : flags[value]),
}

/** The parameters of `GET {type}` and `GET {type}/{id}`. */
export const readParameters = { includeQueued: flag('include_queued') }

/** The parameters of `_abort`. */
export const abortParameters = { timeout: duration('timeout'), waitForCompletion: flag('wait_for_completion') }

const entryRule: Rule = {
  accepts: (value) => executionOrder(value as string) !== undefined,
  expected: 'the `_id` of an entry of the log',
}

/** The parameters of `_search`. */
export const searchParameters = {
  type: text('type', rule.jobType, schemas.type),
  id: text('id', rule.jobId, schemas.id),
  state: text<JobState>('state', rule.oneOf(...jobStates), schemas.state),
  startTimeFrom: whole('start_time_from'),
  startTimeTo: whole('start_time_to'),
  from: whole('from'),
  size: whole('size', 1000),
  searchAfter: text('search_after', entryRule, schemas.executionId),
} satisfies Record<keyof SearchFilter, Parameter>

/** The options of an abort. */
export function toAbortOptions({ timeout, waitForCompletion = true }: Values<typeof abortParameters>): AbortOptions {
  if (!waitForCompletion) return { timeout: 0 }
  return timeout === undefined ? {} : { timeout }
}

/** Whether the answer is to be indented. */
export function isPretty(query: URLSearchParams): boolean {
  return pretty.parse(query.get('pretty') ?? 'false') === true
}

/** Reads the query of a call. Throws `invalid_options`, naming the parameter and what is allowed. */
export function readQuery<Table extends Parameters>(query: URLSearchParams, table: Table): Values<Table> {
  const options: Record<string, unknown> = {}
  for (const name of query.keys()) {
    const [option, parameter] = find(name, table)
    const value = read(parameter, query.getAll(name))
    if (parameter !== pretty) options[option] = value
  }
  return options as Values<Table>
}

function find(name: string, table: Parameters): [option: string, parameter: Parameter] {
  const allowed = Object.entries({ ...table, pretty })
  const found = allowed.find(([, parameter]) => parameter.name === name)
  if (found) return found
  throw invalid('parameter', oneOf(allowed.map(([, parameter]) => parameter.name)), name)
}

function read({ name, rule, parse }: Parameter, [text = '', ...more]: readonly string[]): unknown {
  if (more.length > 0) throw invalid(name, `given once, as ${rule.expected}`, [text, ...more])
  const value = parse(text)
  if (value === undefined || !rule.accepts(value)) throw invalid(name, rule.expected, text)
  return value
}

function oneOf(words: readonly string[]): string {
  return rule.oneOf(...words).expected
}

function text<Value extends string = string>(name: string, rule: Rule, schema: Schema): Parameter<Value> {
  return { name, rule, schema, parse: (text) => text as Value }
}

function flag(name: string): Parameter<boolean> {
  return { name, rule: rule.flag, schema: { type: 'boolean' }, parse: (text) => flags[text] }
}

function whole(name: string, max?: number): Parameter<number> {
  const schema: Schema = { type: 'integer', minimum: 0, maximum: max ?? Number.MAX_SAFE_INTEGER }
  const parse = (text: string) => (/^\d+$/.test(text) ? Number(text) : undefined)
  return { name, rule: rule.whole(0, max), schema, parse }
}

/** The parameter of a length of time, read as milliseconds. */
export function duration(name: string): Parameter<number> {
  return {
    name,
    rule: {
      ...rule.whole(0, maxDuration),
      expected: `0, or a whole number with a unit, ${oneOf(Object.keys(units))}, up to 24 days, such as \`30s\``,
    },
    schema: schemas.duration,
    parse(text) {
      const [, amount, unit = ''] = /^(\d+)(ms|s|m|h|d)$/.exec(text) ?? []
      return text === '0' ? 0 : amount === undefined ? undefined : Number(amount) * (units[unit] ?? 0)
    },
  }
}
