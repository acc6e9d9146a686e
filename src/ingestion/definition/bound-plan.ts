import { invalid } from '../../core/base/index.js'
import type { JobParams } from '../../core/model/index.js'
import type { IngestionJob } from './ingestion-job.js'
import type { IngestionPlan } from './plan.js'
import type { CompiledQuery } from './query-template.js'

/** The plan of an execution with these parameters: its query has them, and its checkpoint those that select records. */
export function boundPlan(
  plan: IngestionPlan,
  { selectedBy, params: schema }: IngestionJob,
  params: JobParams,
  startParams: JobParams = {},
): IngestionPlan {
  const { query, total } = plan
  const selection = selectionOf(params, selectedBy ?? query.params)
  const bound = {
    query: withParams(query, params),
    total: typeof total === 'object' ? withParams(total, params) : total,
  }
  return {
    ...plan,
    ...bound,
    ...(selection && { selection }),
    ...startParamsOf(startParams, selection, schema),
    ...(selectedBy && { selectedBy }),
  }
}

/** The parameters of a start, where a reset with the `selected` ones would not select the same records. */
export function startParamsOf(
  given: JobParams,
  selected: JobParams | undefined,
  schema: IngestionJob['params'],
): Pick<IngestionPlan, 'startParams'> {
  return schema && textOf(given) !== textOf(selected ?? {}) ? { startParams: given } : {}
}

/** The same for the same parameters in another order. */
function textOf(params: JobParams): string {
  return JSON.stringify(selectionOf(params) ?? {})
}

function withParams(query: CompiledQuery, params: JobParams): CompiledQuery {
  return { ...query, render: (variables) => query.render({ ...variables, params }) }
}

/** The values by which records are selected, by default all, in an order that does not depend on the start. */
export function selectionOf(params: JobParams, names: readonly string[] = Object.keys(params)): JobParams | undefined {
  const given = [...names].sort().filter((name) => Object.hasOwn(params, name) && params[name] !== undefined)
  if (given.length === 0) return undefined
  return JSON.parse(JSON.stringify(Object.fromEntries(given.map((name) => [name, sorted(params[name])]))))
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  const isPlain = typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype
  if (!isPlain) return typeof value === 'bigint' ? String(value) : value
  const entries = Object.entries(value as object).sort(([one], [other]) => (one < other ? -1 : 1))
  return Object.fromEntries(entries.map(([name, inner]) => [name, sorted(inner)]))
}

/**
 * Throws `invalid_options` when `selectedBy` has a name that is no parameter: the template does not use it, and the parameters of a start
 * do not have it. A start without parameters tells nothing.
 */
export function checkSelectedBy({ selectedBy = [] }: IngestionJob, query: CompiledQuery, params: JobParams): void {
  const given = Object.keys(params)
  if (given.length === 0) return
  const known = [...new Set([...(query.params ?? []), ...given])].sort()
  const at = selectedBy.findIndex((name) => !known.includes(name))
  if (at < 0) return
  const names = known.map((name) => `\`${name}\``).join(', ')
  const expected = `a parameter that the template uses or that the start gives, also as null: one of ${names}`
  throw invalid(`selectedBy[${at}]`, expected, selectedBy[at])
}
