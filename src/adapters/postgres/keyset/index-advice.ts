import { type Query, quotedNames } from '../../../adapter.js'
import { quoted } from '../client/index.js'
import type { Field } from '../protocol/index.js'
import type { ReadSession } from '../read/index.js'

/** A node of a plan in the output of `explain (format json)`. */
interface PlanNode {
  readonly 'Node Type': string
  readonly 'Plan Rows'?: number
  readonly 'Relation Name'?: string
  readonly Plans?: readonly PlanNode[]
}

/** The number of rows below which a sort is too cheap for a warning. */
const fewRows = 10_000

/** The nodes that pass on the rows of their child in order. */
const passing = new Set(['Limit', 'Gather', 'Gather Merge', 'Subquery Scan', 'Result', 'LockRows'])

/**
 * Returns a warning when no index serves the order by `columns` (`fields` describes the same columns) and the server
 * would sort many rows. Returns `undefined` when an index serves it, or when the server does not show a plan.
 */
export async function orderWarning(
  session: ReadSession,
  { text, values }: Query,
  columns: readonly string[],
  fields: readonly Field[],
): Promise<string | undefined> {
  const explain = { text: `explain (format json) ${text}`, values }
  const plan = await planOf(session, explain)
  const sort = plan && sortIn(plan, ['Sort'])
  if (!sort || (sort['Plan Rows'] ?? 0) < fewRows) return undefined
  // The server also sorts when that seems cheaper, perhaps because of stale statistics. The plan with sorts disabled
  // shows whether it has to.
  const other = await planOf(session, explain, ['enable_sort', 'enable_incremental_sort'])
  if (!other || !sortIn(other, ['Sort', 'Incremental Sort'])) return undefined
  const relations = [...new Set(relationsIn(sort))]
  const found = await indexOn(session, fields)
  const name = found?.table ?? (relations.length === 1 ? relations[0] : undefined)
  const table = name === undefined ? '…' : quoted(name)
  return `No index serves the order by ${quotedNames(columns)}, so the server sorts all remaining rows whenever reading starts. ${adviceOn(found, `create index on ${table} (${columns.map(quoted).join(', ')})`)}`
}

function adviceOn(found: FoundIndex | undefined, statement: string): string {
  if (!found?.index) return `An index would help: ${statement}.`
  const index = quoted(found.index)
  return found.isValid
    ? `The index ${index} is on these columns: its direction, nulls, collation or condition differ, or an order, a limit, a join or an aggregate in the query keeps the server from using it.`
    : `The index ${index} is on these columns but not valid: reindex index ${index}.`
}

interface FoundIndex {
  /** The table of the columns. */
  readonly table: string
  /** An index that starts with the columns. */
  readonly index: string | null
  readonly isValid: boolean
}

/** Finds an index that starts with columns of one table, a valid one first. */
async function indexOn(session: ReadSession, fields: readonly Field[]): Promise<FoundIndex | undefined> {
  const { tableID = 0 } = fields[0] ?? {}
  if (tableID === 0 || fields.some((field) => field.tableID !== tableID)) return undefined
  const { rows } = await session.run({
    text: `select c.relname, i.relname, indisvalid and indisready from pg_class c
      left join pg_index on indrelid = c.oid and (string_to_array(indkey::text, ' '))[1:$2::int] = $3::text[]
      left join pg_class i on i.oid = indexrelid where c.oid = $1::oid order by 3 desc nulls last limit 1`,
    values: [tableID, fields.length, fields.map(({ columnID }) => String(columnID))],
  })
  const [table, index, isValid] = (rows[0] ?? []) as (string | null)[]
  return table ? { table, index: index ?? null, isValid: isValid === 't' } : undefined
}

/** How many rows the planner expects a statement to return. `undefined` when the server does not show a plan. */
export async function estimateOf(session: ReadSession, { text, values }: Query): Promise<number | undefined> {
  const plan = await planOf(session, { text: `explain (format json) ${text}`, values })
  return plan?.['Plan Rows']
}

/** A failed statement aborts its transaction, so it runs in a savepoint. */
async function planOf(
  session: ReadSession,
  query: Query,
  settings: readonly string[] = [],
): Promise<PlanNode | undefined> {
  const run = (text: string) => session.run({ text, values: [] })
  await run('savepoint preflight')
  try {
    for (const setting of settings) await run(`set local ${setting} to off`)
    const { rows } = await session.run(query)
    return rootOf(rows[0]?.[0])
  } catch (error) {
    // An error of the statement itself is thrown when it runs.
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

function sortIn(node: PlanNode, kinds: readonly string[]): PlanNode | undefined {
  if (kinds.includes(node['Node Type'])) return node
  const [below] = node.Plans ?? []
  return below && passing.has(node['Node Type']) ? sortIn(below, kinds) : undefined
}

function relationsIn({ 'Relation Name': relation, Plans = [] }: PlanNode): string[] {
  return [...(relation === undefined ? [] : [relation]), ...Plans.flatMap(relationsIn)]
}
