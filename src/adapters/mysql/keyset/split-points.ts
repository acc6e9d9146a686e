import { type CursorRange, invalid } from '../../../adapter.js'
import type { ReadSession } from '../read/index.js'
import type { CursorType } from './cursor-types.js'
import type { Keyset } from './keyset.js'
import { inexistentOf } from './stored-position.js'

/** Returns the raw texts of values of the first column that divide a range into about `count` even ranges. Empty when there is nothing to divide. */
export async function splitPointsOf(
  session: ReadSession,
  keyset: Keyset,
  range: CursorRange,
  type: CursorType,
  count: number,
): Promise<string[]> {
  const [lowest, highest] = [
    await extremeOf(session, keyset, range, 'asc'),
    await extremeOf(session, keyset, range, 'desc'),
  ]
  if (lowest === undefined || highest === undefined) return []
  return splitPointsAfter(session, keyset, lowest, valuesBetween(lowest, highest, count, type), type)
}

/** Returns the distinct values that come after `value`, in the order of the server. */
export async function splitPointsAfter(
  session: ReadSession,
  keyset: Keyset,
  value: string | undefined,
  bounds: readonly string[],
  type: CursorType,
): Promise<string[]> {
  if (bounds.length === 0) return []
  const { pattern, name, rawOf = (text) => text } = type
  const held = bounds.map((value) => ({ field: 'partitions', index: 0, value }))
  const isOfType = !pattern || bounds.every((bound) => pattern.test(bound))
  if (!isOfType || (await inexistentOf(session, held, [type]))) {
    throw invalid('partitions', `values of the type ${name}, as the first cursor column has`, bounds)
  }
  const { rows } = await session.run(keyset.selectAfter(value, bounds))
  return rows.map(([bound]) => rawOf(String(bound)))
}

async function extremeOf(
  session: ReadSession,
  keyset: Keyset,
  range: CursorRange,
  direction: 'asc' | 'desc',
): Promise<string | undefined> {
  const { rows } = await session.run(keyset.selectExtreme(range, direction))
  const [value] = rows[0] ?? []
  return typeof value === 'string' ? value : undefined
}

function valuesBetween(lowest: string, highest: string, count: number, { unit, name }: CursorType): string[] {
  const steps = Array.from({ length: count - 1 }, (_, index) => index + 1)
  if (unit === 'integer') {
    const [from, to] = [BigInt(lowest), BigInt(highest)]
    return steps.map((step) => String(from + ((to - from) * BigInt(step)) / BigInt(count)))
  }
  const isTime = unit === 'milliseconds'
  const [from, to] = [lowest, highest].map((text) => (isTime ? timeOf(text) : Number(text))) as [number, number]
  if (!Number.isFinite(from) || !Number.isFinite(to)) return []
  const values = steps.map((step) => from + (to - from) * (step / count))
  return values.map((value) => (isTime ? timeText(value, name) : plainText(value)))
}

/** Dates with a zero have no time. */
function timeOf(text: string): number {
  const [date = '', time = '00:00:00'] = text.split(' ')
  return Date.parse(`${date}T${time.slice(0, 12)}Z`)
}

function timeText(time: number, name: string): string {
  const text = new Date(Math.floor(time)).toISOString()
  return name === 'date' ? text.slice(0, 10) : text.slice(0, 19).replace('T', ' ')
}

/** A number without an exponent. */
function plainText(value: number): string {
  const text = String(value)
  return text.includes('e') ? value.toFixed(0) : text
}
