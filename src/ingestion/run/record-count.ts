import { checkedAnswer, rule, warnOf } from '../../core/base/index.js'
import type { ExecutionContext } from '../../core/execution/index.js'
import type { Datasource, Query, ReadCursor } from '../contract/index.js'
import type { IngestionPlan, QueryVariables } from '../definition/index.js'

/** Where the read begins whose records are counted. */
export interface CountStart {
  readonly variables: QueryVariables
  readonly lastId: string | undefined
  readonly cursor: ReadCursor | undefined
}

type Counted = Pick<IngestionPlan, 'datasource' | 'query' | 'total'>

/**
 * How many records a read returns, as `total` of the job says. Call it beside the read, which neither waits for it nor fails with it.
 * `undefined` when nothing tells. Never rejects.
 */
export async function countRecords(
  plan: Counted,
  context: Pick<ExecutionContext, 'type' | 'id' | 'executionId' | 'logger'>,
  start: () => CountStart,
  signal: AbortSignal,
): Promise<number | undefined> {
  const counting = prepared(plan, start)
  if (!counting) return undefined
  try {
    return await counting(signal)
  } catch (error) {
    if (!signal.aborted) warnOf(context.logger, context, error, 'could not find out its total')
    return undefined
  }
}

type Counting = (signal: AbortSignal) => Promise<number | undefined>

/** What counts. `undefined` when nothing does, or when the read cannot begin there either: it fails with the same error and tells it. */
function prepared({ datasource, query, total }: Counted, start: () => CountStart): Counting | undefined {
  if (total === undefined) return undefined
  try {
    const { variables, lastId, cursor } = start()
    if (typeof total === 'object') return (signal) => countByQuery(datasource, () => total.render(variables), signal)
    const rendered = query.render(variables)
    const options = { lastId, isEstimate: total === 'estimate', ...(cursor && { cursor }) }
    return async (signal) =>
      countIn('count() of the datasource', await datasource.count?.(rendered, { ...options, signal }))
  } catch {
    return undefined
  }
}

async function countByQuery(datasource: Datasource, render: () => Query, signal: AbortSignal) {
  const batches = datasource.read(render(), { signal, batchSize: 1, lastId: undefined })
  return countIn('the query of `total`', (await firstOf(batches))?.rows[0]?.[0])
}

async function firstOf<Item>(items: AsyncIterable<Item>): Promise<Item | undefined> {
  for await (const item of items) return item
  return undefined
}

/** A number of records, which may come as text. */
function countIn(source: string, answer: unknown): number | undefined {
  const isText = typeof answer === 'string' && /^\d{1,15}(\.0*)?$/.test(answer)
  const count = isText || typeof answer === 'bigint' ? Number(answer) : answer
  return checkedAnswer('datasource', source, rule.optional(rule.whole(0)), count ?? undefined)
}
