import type { CursorType } from './cursor-types.js'

const dayLength = 86_400_000

/** The first moment of dates and times. */
const first = Date.UTC(0, 0, 1) - 1900 * 366 * dayLength

/** The raw text of the value that is `distance` before `raw`. It ends where the type ends, instead of failing. */
export function earlier(raw: string, distance: number, { name, unit }: CursorType): string {
  if (unit === 'integer') return String(BigInt(raw) - BigInt(distance))
  if (name === 'double') return String(Number(raw) - distance)
  if (name === 'date') return earlierDay(raw, distance)
  return earlierTime(raw, distance)
}

/** A date is compared by whole days. */
function earlierDay(raw: string, distance: number): string {
  const before = Date.parse(`${raw}T00:00:00Z`) - Math.floor(distance / dayLength) * dayLength
  return isDate(before) ? new Date(before).toISOString().slice(0, 10) : zeros(raw, '0000-00-00')
}

function earlierTime(raw: string, distance: number): string {
  const zone = raw.endsWith('+00') ? '+00' : ''
  const [seconds = '', fraction = ''] = raw.replace('+00', '').split('.')
  const micros = BigInt(Date.parse(`${seconds.replace(' ', 'T')}Z`) || 0) * 1000n + BigInt(fraction.padEnd(6, '0'))
  const before = micros - BigInt(Math.min(Math.ceil(distance * 1000), Number.MAX_SAFE_INTEGER))
  const second = Number((before - modulo(before, 1_000_000n)) / 1000n)
  if (!isDate(second) || Number.isNaN(Date.parse(`${seconds.replace(' ', 'T')}Z`))) {
    return zeros(raw, '0000-00-00 00:00:00')
  }
  const text = new Date(second).toISOString().slice(0, 19).replace('T', ' ')
  return `${text}.${String(modulo(before, 1_000_000n)).padStart(6, '0')}${zone}`
}

function modulo(value: bigint, by: bigint): bigint {
  return ((value % by) + by) % by
}

/** A date with a zero in it is before all others, as is what would be before the first year. */
function zeros(raw: string, text: string): string {
  return raw < text ? raw : text
}

function isDate(time: number): boolean {
  return !Number.isNaN(time) && time >= first && !new Date(time).toISOString().startsWith('-')
}
