import type { Query } from '../index.js'
import { quoted } from '../postgres/identifiers.js'
import { list } from './_postgres-position.js'
import type { Session } from './_postgres-session.js'

/** A node of a plan, as `explain (format json)` tells it. */
interface PlanNode {
  readonly 'Node Type': string
  readonly 'Plan Rows'?: number
  readonly 'Relation Name'?: string
  readonly Plans?: readonly PlanNode[]
}

/** Sorting fewer rows than that costs less than a warning is worth. */
const fewRows = 10_000

/** What passes on the rows of the node under it, in their order. */
const passing = new Set(['Limit', 'Gather', 'Gather Merge', 'Subquery Scan', 'Result', 'LockRows'])

/**
 * What to tell operators of a statement that reads by the order of `columns`, when no index serves the order and the server
 * sorts the rows. `undefined` when all is well, or when the server does not tell how it would go about it.
 */
export async function orderWarning(
  session: Session,
  { text, values }: Query,
  columns: readonly string[],
): Promise<string | undefined> {
  const plan = await planOf(session, { text: `explain (format json) ${text}`, values })
  const sort = plan && sortIn(plan)
  if (!sort || (sort['Plan Rows'] ?? 0) < fewRows) return undefined
  const relations = [...new Set(relationsIn(sort))]
  const table = relations.length === 1 ? quoted(relations[0] as string) : '…'
  return `No index serves the order by ${list(columns)}, so that the server sorts all rows that are to be read whenever reading begins. An index would help: create index on ${table} (${columns.map(quoted).join(', ')}).`
}

/** A statement that fails spoils its transaction, unless there is a savepoint to go back to. */
async function planOf(session: Session, query: Query): Promise<PlanNode | undefined> {
  const run = (text: string) => session.run({ text, values: [] })
  await run('savepoint preflight')
  try {
    const { rows } = await session.run(query)
    return rootOf(rows[0]?.[0])
  } catch (error) {
    // What is wrong with the statement itself, it tells when it is run.
    void error
    return undefined
  } finally {
    await run('rollback to savepoint preflight; release savepoint preflight')
  }
}

function rootOf(json: unknown): PlanNode | undefined {
  const [explained] = JSON.parse(String(json)) as { Plan?: PlanNode }[]
  return explained?.Plan
}

function sortIn(node: PlanNode): PlanNode | undefined {
  if (node['Node Type'] === 'Sort') return node
  const [below] = node.Plans ?? []
  return below && passing.has(node['Node Type']) ? sortIn(below) : undefined
}

function relationsIn({ 'Relation Name': relation, Plans = [] }: PlanNode): string[] {
  return [...(relation === undefined ? [] : [relation]), ...Plans.flatMap(relationsIn)]
}
