import { checkedAnswer, rule, warnOf } from '../../core/base/index.js'
import type { ExecutionContext } from '../../core/execution/index.js'
import type { ReadCursor } from '../contract/index.js'
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
  if (plan.total === undefined) return undefined
  try {
    return await count(plan, start(), signal)
  } catch (error) {
    if (!signal.aborted) warnOf(context.logger, context, error, 'could not find out its total')
    return undefined
  }
}

async function count({ datasource, query, total }: Counted, start: CountStart, signal: AbortSignal) {
  const { variables, lastId, cursor } = start
  if (typeof total === 'object') {
    const read = datasource.read(total.render(variables), { signal, batchSize: 1, lastId: undefined })
    return countIn('the query of `total`', (await firstOf(read))?.rows[0]?.[0])
  }
  const options = { signal, lastId, isEstimate: total === 'estimate', ...(cursor && { cursor }) }
  return countIn('count() of the datasource', await datasource.count?.(query.render(variables), options))
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
