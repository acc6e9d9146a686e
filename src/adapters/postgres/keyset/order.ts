import { type ColumnOrder, JobError } from '../../../adapter.js'
import type { Field } from '../protocol/index.js'
import type { CursorType } from './cursor-types.js'

/** Types whose values keep their text and order in the types after them. */
const widenings: readonly (readonly string[])[] = [
  ['int2', 'int4', 'int8', 'numeric'],
  ['date', 'timestamp'],
]

/** Types that differ in name only. */
const synonyms: ReadonlyMap<string, string> = new Map([['varchar', 'text']])

/** The maximum digits after the point of a type without a modifier. */
const precise: Readonly<Record<string, number>> = { time: 6, timestamp: 6, timestamptz: 6 }

/** The order of a cursor column. */
export function orderOf(
  field: Field,
  { name }: CursorType,
  { collation, source }: { collation: string | undefined; source: string | undefined },
): ColumnOrder {
  const digits = digitsOf(name, field.dataTypeModifier)
  return {
    type: synonyms.get(name) ?? name,
    ...(digits !== undefined && { digits }),
    ...(collation !== undefined && { collation }),
    ...(source !== undefined && { source }),
  }
}

function digitsOf(type: string, modifier: number): number | undefined {
  if (type in precise) return modifier < 0 ? precise[type] : modifier
  // Eleven bits. The first is the sign.
  if (type === 'numeric' && modifier >= 0) return (((modifier - 4) & 0x7ff) ^ 1024) - 1024
  return undefined
}

/**
 * Throws `datasource` when cursor columns have changed since the checkpoint. Its values would be compared with
 * something else or in another order, and records would be read twice or never. A type with the same values in the
 * same order is fine.
 */
export function checkOrder(
  names: readonly string[],
  before: readonly ColumnOrder[],
  now: readonly ColumnOrder[],
): void {
  for (const [index, column] of before.slice(0, now.length).entries()) {
    const changed = change(column, now[index] as ColumnOrder)
    if (!changed) continue
    throw new JobError(
      'datasource',
      `The cursor column \`${names[index]}\` ${changed} since the checkpoint was made, so records would be read twice or never: start the job with \`fullRefresh: true\` (\`?full_refresh=true\`), call \`reset\`, or give it another id.`,
    )
  }
}

function change(before: ColumnOrder, now: ColumnOrder): string | undefined {
  if (!isKept(before, now)) return `has changed from ${typeOf(before, now)} to ${typeOf(now, before)}`
  if (isOther(before.collation, now.collation)) {
    return `has changed from the collation ${before.collation} to ${now.collation}`
  }
  // An earlier version stored none. One that is absent now is an expression.
  if (before.source !== undefined && before.source !== now.source) {
    return `has changed from ${before.source} to ${now.source ?? 'an expression'}`
  }
  return undefined
}

function isKept(before: ColumnOrder, now: ColumnOrder): boolean {
  const { type } = before
  const isWider = widenings.some((types) => types.includes(type) && types.indexOf(now.type) > types.indexOf(type))
  if (type !== now.type) return isWider
  return (before.digits ?? Number.POSITIVE_INFINITY) <= (now.digits ?? Number.POSITIVE_INFINITY)
}

/** Unknown values are not compared. */
function isOther(before: string | undefined, now: string | undefined): boolean {
  return before !== undefined && now !== undefined && before !== now
}

/** Shows the digits of types with the same name. */
function typeOf({ type, digits }: ColumnOrder, other: ColumnOrder): string {
  if (type !== other.type) return type
  return digits === undefined ? `${type} without a limit of digits` : `${type} with ${digits} digits after the point`
}
