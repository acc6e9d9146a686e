import { executionOrder, hintFor, invalid, maxTextLength, type Rule, rule } from '../../adapter.js'
import { JobError, type JobState, jobStates } from '../../index.js'
import { type Schema, schemas } from './schemas.js'

/** A query parameter: its name on the wire, its rule, and how its text becomes a value. */
export interface Parameter<Value = unknown> {
  name: string
  /** One sentence. The document adds which values are allowed. */
  description: string
  rule: Rule
  /** The rule as a JSON Schema. */
  schema: Schema
  /** Parses the value. Returns `undefined` for invalid text. */
  parse(text: string): Value | undefined
}

/** The query parameters of a call, by the names of the options that they set. */
export type Parameters = Record<string, Parameter>

/** The options that query parameters set. */
export type Values<Table extends Parameters> = {
  [Option in keyof Table]?: Table[Option] extends Parameter<infer Value> ? Value : never
}

/** The units of a duration, in milliseconds. */
const units: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** The longest duration of a timer, in milliseconds. */
const maxDuration = 24 * 86_400_000

const flags: Record<string, boolean> = { true: true, false: false }

/** The parameter of every route that indents the answer. */
export const pretty: Parameter<boolean> = {
  name: 'pretty',
  description: 'Whether to indent the answer.',
  rule: { ...rule.flag, expected: 'true, false or nothing' },
  schema: { enum: [true, false, ''] },
  parse: (value) => (value === '' ? true : flags[value]),
}

/** The parameters of routes that a query restricts to jobs. */
export const jobFilter = {
  type: text('type', 'Only executions of jobs with this type.', rule.jobType, schemas.type),
  id: text('id', 'Only executions of jobs with this id.', rule.jobId, schemas.id),
}

/** The parameter of routes that leave out queued executions by default. */
export const includeQueued = flag('include_queued', 'Whether to include queued executions. Default: `false`.')

/** The parameter of routes that answer statuses: it adds `detail` to each. */
export const detail = flag('detail', 'Whether to add `detail` to each status. Default: `false`.')

/** Whether the answer is indented. */
export function isPretty(query: URLSearchParams): boolean {
  return pretty.parse(query.get('pretty') ?? 'false') === true
}

/**
 * Parses the query of a call. Throws `invalid_options` with the name of the parameter and the allowed values, and for an unknown
 * parameter with the hint.
 */
export function readQuery<Table extends Parameters>(
  query: URLSearchParams,
  table: Table,
  unknownHint?: string,
): Values<Table> {
  const options: Record<string, unknown> = {}
  for (const name of query.keys()) {
    const [option, parameter] = find(name, table, unknownHint)
    const value = read(parameter, query.getAll(name))
    if (parameter !== pretty) options[option] = value
  }
  return options as Values<Table>
}

function find(name: string, table: Parameters, unknownHint?: string): [option: string, parameter: Parameter] {
  const allowed = Object.entries({ ...table, pretty })
  const found = allowed.find(([, parameter]) => parameter.name === name)
  if (found) return found
  const names = allowed.map(([, parameter]) => parameter.name)
  const message = `Expected the name of a query parameter to be ${oneOf(names)}, got \`${name.slice(0, 100)}\``
  const hint = hintFor(name.slice(0, 100), names) || (unknownHint ? `. ${unknownHint}` : '')
  throw new JobError('invalid_options', `${message}${hint}`)
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

/** For lists, whose callers may look for a filter. */
export const noFilters =
  'This list has no filters. `_search` finds executions by `type`, `id`, `state`, `start_time_from` and `start_time_to`'

/** A parameter with a text. */
export function text<Value extends string = string>(
  name: string,
  description: string,
  rule: Rule,
  schema: Schema,
): Parameter<Value> {
  return { name, description, rule, schema, parse: (text) => text as Value }
}

/** A parameter with a text for people. */
export function shortText(name: string, description: string): Parameter<string> {
  const schema: Schema = { type: 'string', minLength: 1, maxLength: maxTextLength }
  return text(name, description, rule.shortText(maxTextLength), schema)
}

/** A parameter with a state of an execution. */
export function state(description: string): Parameter<JobState> {
  return text('state', description, rule.oneOf(...jobStates), schemas.state)
}

/** A parameter with the id of an execution. */
export function executionId(name: string, description: string, expected: string): Parameter<string> {
  const rule: Rule = { accepts: (value) => executionOrder(value as string) !== undefined, expected }
  return text(name, description, rule, schemas.executionId)
}

/** A parameter with a JSON value. */
export function json(name: string, description: string): Parameter<unknown> {
  const parse = (text: string): unknown => {
    try {
      return JSON.parse(text)
    } catch {
      return undefined
    }
  }
  const rule: Rule = { accepts: (value) => value !== undefined, expected: 'a JSON value' }
  return { name, description, rule, schema: { type: 'string', contentMediaType: 'application/json' }, parse }
}

/** A parameter with `true` or `false`. */
export function flag(name: string, description: string): Parameter<boolean> {
  return { name, description, rule: rule.flag, schema: { type: 'boolean' }, parse: (text) => flags[text] }
}

/** A parameter with a whole number from 0 up. */
export function whole(name: string, description: string, max?: number): Parameter<number> {
  const schema: Schema = { type: 'integer', minimum: 0, maximum: max ?? Number.MAX_SAFE_INTEGER }
  const parse = (text: string) => (/^\d+$/.test(text) ? Number(text) : undefined)
  return { name, description, rule: rule.whole(0, max), schema, parse }
}

/** A parameter with a time, in epoch milliseconds. */
export function time(name: string, description: string): Parameter<number> {
  return { ...whole(name, description), rule: rule.time }
}

/** A parameter with a duration, read as milliseconds. */
export function duration(name: string, description: string): Parameter<number> {
  return {
    name,
    description,
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
