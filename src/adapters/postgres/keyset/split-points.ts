import { type CursorRange, JobError } from '../../../adapter.js'
import type { ReadSession } from '../read/index.js'
import type { CursorType } from './cursor-types.js'
import type { Keyset } from './keyset.js'

/**
 * Returns the raw texts of values of the first column that divide a range into about `count` even ranges. They lie
 * between its lowest and highest value, which an index returns at once. Empty when there is nothing to divide.
 */
export async function splitPointsOf(
  session: ReadSession,
  keyset: Keyset,
  range: CursorRange,
  type: CursorType,
  count: number,
): Promise<string[]> {
  const { rows } = await session.run(keyset.selectExtremes(range))
  const [lowest, highest] = rows[0] as [string | null, string | null]
  if (lowest === null || highest === null || !isFiniteValue(lowest, type) || !isFiniteValue(highest, type)) return []
  const bounds =
    type.name === 'uuid'
      ? uuidsBetween(lowest, highest, count)
      : await valuesBetween(session, lowest, highest, count, type)
  return splitPointsAfter(session, keyset, lowest, bounds, type)
}

/** Returns the distinct values that come after `value`, in the order of the server. */
export async function splitPointsAfter(
  session: ReadSession,
  keyset: Keyset,
  value: string | undefined,
  bounds: readonly string[],
  { name }: CursorType,
): Promise<string[]> {
  const { rows } = await session.run(keyset.selectAfter(value, bounds, name))
  return rows.map(([bound]) => String(bound))
}

/** Whether a value is finite: there is no midpoint to an infinite one. */
function isFiniteValue(value: string, { unit }: CursorType): boolean {
  return unit === undefined || !/^-?infinity$|^nan$|bc$/i.test(value)
}

async function valuesBetween(
  session: ReadSession,
  lowest: string,
  highest: string,
  count: number,
  { name, unit }: CursorType,
): Promise<string[]> {
  const [through, factor] = unit === 'milliseconds' ? ['timestamptz', 'float8'] : ['numeric', 'numeric']
  const { rows } = await session.run({
    text: `select (least + (greatest - least) * (n::${factor} / $3::int::${factor}))::${name}::text
      from (select $1::${name}::${through} as least, $2::${name}::${through} as greatest) ends,
        generate_series(1, $3::int - 1) n order by n`,
    values: [lowest, highest, count],
  })
  return rows.map(([value]) => String(value))
}

function uuidsBetween(lowest: string, highest: string, count: number): string[] {
  const [from, to] = [lowest, highest].map((uuid) => BigInt(`0x${uuid.replaceAll('-', '')}`)) as [bigint, bigint]
  return Array.from({ length: count - 1 }, (_, index) => {
    const hex = (from + ((to - from) * BigInt(index + 1)) / BigInt(count)).toString(16).padStart(32, '0')
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
  })
}

/** Throws `datasource` unless the type has midpoints between its values. */
export function checkDivisible(type: CursorType, column: string, option: 'parallel' | 'partitions'): void {
  if (type.unit !== undefined || type.name === 'uuid') return
  throw new JobError(
    'datasource',
    `Expected the first column of a cursor with \`${option}\` to be a number, a date, a timestamp or a uuid, got \`${column}\` of the type ${type.name}.`,
  )
}
