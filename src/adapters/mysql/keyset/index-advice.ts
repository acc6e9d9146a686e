import { type Query, quotedNames } from '../../../adapter.js'
import type { ReadSession } from '../read/index.js'

/** The number of rows below which a sort is too cheap for a warning. */
const fewRows = 10_000

/** A line of a plan: its columns by name. */
type PlanLine = ReadonlyMap<string, string>

/** Returns a warning when no index serves the order by `columns`, so that the server would sort many rows. */
export async function orderWarning(
  session: ReadSession,
  query: Query,
  columns: readonly string[],
): Promise<string | undefined> {
  // The server also sorts when that seems cheaper. For one row it does not, unless it has to.
  const lines = await planOf(session, { ...query, text: `${query.text} limit 1` })
  const sorts = lines.some((line) => line.get('Extra')?.includes('Using filesort'))
  if (!sorts || rowsOf(lines) < fewRows) return undefined
  return `No index serves the order by ${quotedNames(columns)}, so the server sorts all remaining rows whenever reading starts. An index on these columns, in their order, would help.`
}

/** How many rows the server expects a statement to return. `undefined` when the plan does not tell. */
export async function estimateOf(session: ReadSession, query: Query): Promise<number | undefined> {
  const lines = await planOf(session, query)
  const isSimple = lines.length > 0 && lines.every((line) => line.get('id') === '1')
  return isSimple ? Math.round(rowsOf(lines)) : undefined
}

async function planOf(session: ReadSession, { text, values }: Query): Promise<PlanLine[]> {
  const { fields, rows } = await session.run({ text: `explain ${text}`, values })
  return rows.map((row) => new Map(fields.map(({ name }, index) => [name, String(row[index] ?? '')])))
}

/** The rows of a join: the product of those of its tables. */
function rowsOf(lines: readonly PlanLine[]): number {
  return lines.reduce((product, line) => product * Number(line.get('rows') || 1), 1)
}
