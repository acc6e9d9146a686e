import {
  type AbortOptions,
  executionOrder,
  invalid,
  type JobState,
  jobStates,
  type Rule,
  rule,
  type SearchFilter,
} from '../index.js'
import { type Schema, schemas } from './_schemas.js'

export * from './wire-bodies.js'

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

/** The parameters of `_events`. */
export const eventParameters = {
  type: searchParameters.type,
  id: searchParameters.id,
  state: searchParameters.state,
  includeQueued: readParameters.includeQueued,
}

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
