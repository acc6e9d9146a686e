import { JobError } from '../index.js'
import type { CursorType } from './_postgres-cursor-types.js'
import type { Keyset, Range } from './_postgres-keyset.js'
import type { Session } from './_postgres-session.js'

/**
 * The values of the first column that cut a range into `count` about even ones, as raw text: between its least and its greatest value,
 * which an index gives at once. None where there is nothing to cut.
 */
export async function boundsOf(
  session: Session,
  keyset: Keyset,
  range: Range,
  type: CursorType,
  count: number,
): Promise<string[]> {
  const { rows } = await session.run(keyset.selectExtremes(range))
  const [least, greatest] = rows[0] as [string | null, string | null]
  if (least === null || greatest === null || !isFiniteValue(least, type) || !isFiniteValue(greatest, type)) return []
  const bounds =
    type.name === 'uuid'
      ? uuidsBetween(least, greatest, count)
      : await valuesBetween(session, least, greatest, count, type)
  return boundsAfter(session, keyset, least, bounds, type)
}

/** Those of some values that come after another one, as the server compares them, in order, and none twice. */
export async function boundsAfter(
  session: Session,
  keyset: Keyset,
  value: string | undefined,
  bounds: readonly string[],
  { name }: CursorType,
): Promise<string[]> {
  const { rows } = await session.run(keyset.selectAfter(value, bounds, name))
  return rows.map(([bound]) => String(bound))
}

/** Numbers and times have ends that nothing lies in the middle of. */
function isFiniteValue(value: string, { unit }: CursorType): boolean {
  return unit === undefined || !/^-?infinity$|^nan$|bc$/i.test(value)
}

async function valuesBetween(
  session: Session,
  least: string,
  greatest: string,
  count: number,
  { name, unit }: CursorType,
): Promise<string[]> {
  const [through, factor] = unit === 'milliseconds' ? ['timestamptz', 'float8'] : ['numeric', 'numeric']
  const { rows } = await session.run({
    text: `select (least + (greatest - least) * (n::${factor} / $3::int::${factor}))::${name}::text
      from (select $1::${name}::${through} as least, $2::${name}::${through} as greatest) ends,
        generate_series(1, $3::int - 1) n order by n`,
    values: [least, greatest, count],
  })
  return rows.map(([value]) => String(value))
}

function uuidsBetween(least: string, greatest: string, count: number): string[] {
  const [from, to] = [least, greatest].map((uuid) => BigInt(`0x${uuid.replaceAll('-', '')}`)) as [bigint, bigint]
  return Array.from({ length: count - 1 }, (_, index) => {
    const hex = (from + ((to - from) * BigInt(index + 1)) / BigInt(count)).toString(16).padStart(32, '0')
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
  })
}

/** Throws `datasource` unless values can be found that lie in the middle of others. */
export function checkDivisible(type: CursorType, column: string, option: 'parallel' | 'partitions'): void {
  if (type.unit !== undefined || type.name === 'uuid') return
  throw new JobError(
    'datasource',
    `Expected the first column of a cursor with \`${option}\` to be a number, a date, a timestamp or a uuid, got \`${column}\` of the type ${type.name}.`,
  )
}
