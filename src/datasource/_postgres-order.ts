import { JobError, type ReadCursor } from '../index.js'
import type { CursorType } from './_postgres-cursor-types.js'
import type { Field } from './_postgres-step.js'

/** What a column of a cursor was when its values were read: what a position keeps, as values compare in no other order. */
export interface ColumnOrder {
  /** Its type, as SQL names it. */
  readonly type: string
  /** How many digits after the point its values have at most, where the type rounds to so many. */
  readonly digits?: number
  /** Its collation and where that comes from, for a text. */
  readonly collation?: string
  /** The column of a table or view that the query passes on as it is. */
  readonly source?: string
}

/** Types whose values have the same text and the same order in the types behind them. */
const widenings: readonly (readonly string[])[] = [
  ['int2', 'int4', 'int8', 'numeric'],
  ['date', 'timestamp'],
]

/** Types that are the same in all but their name. */
const synonyms: Readonly<Record<string, string>> = { varchar: 'text' }

/** The most digits after the point that a type without a modifier has. */
const precise: Readonly<Record<string, number>> = { time: 6, timestamp: 6, timestamptz: 6 }

/** What a column of a cursor is. */
export function orderOf(
  field: Field,
  { name }: CursorType,
  { collation, source }: { collation: string | undefined; source: string | undefined },
): ColumnOrder {
  const digits = digitsOf(name, field.dataTypeModifier)
  return {
    type: synonyms[name] ?? name,
    ...(digits !== undefined && { digits }),
    ...(collation !== undefined && { collation }),
    ...(source !== undefined && { source }),
  }
}

function digitsOf(type: string, modifier: number): number | undefined {
  if (type in precise) return modifier < 0 ? precise[type] : modifier
  // Eleven bits, of which the first is the sign.
  if (type === 'numeric' && modifier >= 0) return (((modifier - 4) & 0x7ff) ^ 1024) - 1024
  return undefined
}

/**
 * Throws `datasource` when columns are not what they were when the values of a checkpoint were read: these would be compared with
 * something else, or in another order, and records would be read twice or never. A type that holds the same values in the
 * same order is fine.
 */
export function checkOrder({ columns: names, position }: ReadCursor, now: readonly ColumnOrder[]): void {
  const { order: before } = Object(position) as { order?: unknown }
  if (!Array.isArray(before)) return
  for (const [index, column] of before.slice(0, now.length).entries()) {
    const changed = change(Object(column) as Partial<ColumnOrder>, now[index] as ColumnOrder)
    if (!changed) continue
    throw new JobError(
      'datasource',
      `The cursor column \`${names[index]}\` ${changed} since the checkpoint was made, so that records would be read twice or never: run the job once with \`resume: 'restart'\`, or give it another id.`,
    )
  }
}

function change(before: Partial<ColumnOrder>, now: ColumnOrder): string | undefined {
  if (!isKept(before, now)) return `has changed from ${typeOf(before, now)} to ${typeOf(now, before)}`
  if (isOther(before.collation, now.collation)) {
    return `has changed from the collation ${before.collation} to ${now.collation}`
  }
  if (isOther(before.source, now.source)) return `has changed from ${before.source} to ${now.source}`
  return undefined
}

function isKept(before: Partial<ColumnOrder>, now: ColumnOrder): boolean {
  const { type = now.type } = before
  const isWider = widenings.some((types) => types.includes(type) && types.indexOf(now.type) > types.indexOf(type))
  if (type !== now.type) return isWider
  return (before.digits ?? Number.POSITIVE_INFINITY) <= (now.digits ?? Number.POSITIVE_INFINITY)
}

/** What is not known is not compared. */
function isOther(before: string | undefined, now: string | undefined): boolean {
  return before !== undefined && now !== undefined && before !== now
}

/** Digits tell types apart that have the same name. */
function typeOf({ type, digits }: Partial<ColumnOrder>, other: Partial<ColumnOrder>): string {
  if (type !== other.type) return String(type)
  return digits === undefined ? `${type} without a limit of digits` : `${type} with ${digits} digits after the point`
}
