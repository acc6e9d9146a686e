import type { Query } from '../index.js'
import { quoted } from '../postgres/identifiers.js'
import { list } from './_postgres-position.js'
import type { Session } from './_postgres-session.js'
import type { Field } from './_postgres-step.js'

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
 * What to tell operators of a statement that reads by the order of `columns`, given also as `fields`, when no index serves the order
 * and the server sorts the rows. `undefined` when all is well, or when the server does not tell how it would go about it.
 */
export async function orderWarning(
  session: Session,
  { text, values }: Query,
  columns: readonly string[],
  fields: readonly Field[],
): Promise<string | undefined> {
  const explain = { text: `explain (format json) ${text}`, values }
  const plan = await planOf(session, explain)
  const sort = plan && sortIn(plan, ['Sort'])
  if (!sort || (sort['Plan Rows'] ?? 0) < fewRows) return undefined
  // It sorts where that seems cheaper, for which statistics may be to blame. Whether it has to, it tells when it is kept from it.
  const other = await planOf(session, explain, ['enable_sort', 'enable_incremental_sort'])
  if (!other || !sortIn(other, ['Sort', 'Incremental Sort'])) return undefined
  const relations = [...new Set(relationsIn(sort))]
  const found = await indexOn(session, fields)
  const name = found?.table ?? (relations.length === 1 ? relations[0] : undefined)
  const table = name === undefined ? '…' : quoted(name)
  return `No index serves the order by ${list(columns)}, so that the server sorts all rows that are to be read whenever reading begins. ${adviceOn(found, `create index on ${table} (${columns.map(quoted).join(', ')})`)}`
}

function adviceOn(found: FoundIndex | undefined, statement: string): string {
  if (!found?.index) return `An index would help: ${statement}.`
  const index = quoted(found.index)
  return found.isValid
    ? `The index ${index} is on these columns: its direction, nulls, collation or condition differ, or the query has an order, a limit, a join or an aggregate of its own that keeps the server from it.`
    : `The index ${index} is on these columns, but is not valid: reindex index ${index}.`
}

interface FoundIndex {
  /** The table whose columns they are. */
  readonly table: string
  /** An index that begins with them. */
  readonly index: string | null
  readonly isValid: boolean
}

/** Looks for an index that begins with columns of one table, a valid one first. */
async function indexOn(session: Session, fields: readonly Field[]): Promise<FoundIndex | undefined> {
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

/** A statement that fails spoils its transaction, unless there is a savepoint to go back to. */
async function planOf(session: Session, query: Query, settings: readonly string[] = []): Promise<PlanNode | undefined> {
  const run = (text: string) => session.run({ text, values: [] })
  await run('savepoint preflight')
  try {
    for (const setting of settings) await run(`set local ${setting} to off`)
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

function sortIn(node: PlanNode, kinds: readonly string[]): PlanNode | undefined {
  if (kinds.includes(node['Node Type'])) return node
  const [below] = node.Plans ?? []
  return below && passing.has(node['Node Type']) ? sortIn(below, kinds) : undefined
}

function relationsIn({ 'Relation Name': relation, Plans = [] }: PlanNode): string[] {
  return [...(relation === undefined ? [] : [relation]), ...Plans.flatMap(relationsIn)]
}
