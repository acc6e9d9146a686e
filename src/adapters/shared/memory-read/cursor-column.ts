import { JobError, type JobRecord } from '../../../adapter.js'

/** A value of a cursor column, as `<` compares it with others of its column. A date is its milliseconds. */
export type Key = string | number | bigint | boolean

/** What the values of a column are. Values of different kinds have no order. */
export type ColumnKind = 'number' | 'text' | 'boolean' | 'date'

/** A column of a cursor over records in memory. It learns what its values are from the records. */
export class CursorColumn {
  readonly name: string
  #kind: ColumnKind | undefined
  #isPresent = false

  constructor(name: string) {
    this.name = name
  }

  /** What its values are. `undefined` until a record has one. */
  get kind(): ColumnKind | undefined {
    return this.#kind
  }

  /** Whether a record has the column, with null or a value. */
  get isPresent(): boolean {
    return this.#isPresent
  }

  /** The value of a record. A record without the column has null. */
  keyOf(record: JobRecord): Key | null {
    if (!Object.hasOwn(record, this.name)) return null
    this.#isPresent = true
    const value = record[this.name] ?? null
    if (value === null) return null
    const kind = kindOf(value)
    if (!kind) throw this.#failure('a number, a text, a boolean or a date in every record', shown(value))
    this.#kind ??= kind
    if (kind !== this.#kind) throw this.#failure(`a ${this.#kind} in every record`, `a ${kind}`)
    return value instanceof Date ? value.getTime() : (value as Key)
  }

  /** The text of a value, as a position and a range hold it. */
  textOf(key: Key): string {
    if (this.#kind === 'date') return new Date(key as number).toISOString()
    // The text of a large number in full, as it is rounded otherwise.
    return Number.isInteger(key) ? String(BigInt(key as number)) : String(key)
  }

  /** The value of such a text. `undefined` for one of another kind. */
  parse(text: string): Key | undefined {
    switch (this.#kind) {
      case 'number':
        return numberIn(text)
      case 'date':
        return Number.isNaN(Date.parse(text)) ? undefined : Date.parse(text)
      case 'boolean':
        return text === 'true' || (text === 'false' ? false : undefined)
      default:
        return text
    }
  }

  /** What tells values that are at most `distance` before `key`: milliseconds for times. `undefined` for a text that is no time. */
  since(key: Key, distance: number): ((value: Key) => boolean) | undefined {
    if (typeof key === 'string') {
      const time = timeIn(key)
      return time === undefined ? undefined : (value) => (timeIn(value as string) as number) >= time - distance
    }
    const earliest = typeof key === 'bigint' ? key - BigInt(Math.floor(distance)) : (key as number) - distance
    return (value) => (value as typeof earliest) >= earliest
  }

  #failure(expected: string, got: string): JobError {
    return new JobError('datasource', `Expected the cursor column \`${this.name}\` to be ${expected}, got ${got}.`)
  }
}

/** The milliseconds of a time in ISO 8601, also as Postgres writes it. `undefined` for another text. Without a zone, it is in UTC. */
export function timeIn(text: string): number | undefined {
  const [, day, clock = '00:00', sign, hours, minutes = '00'] = isoTime.exec(text) ?? []
  if (day === undefined) return undefined
  const time = Date.parse(`${day}T${clock}${sign ? `${sign}${hours}:${minutes}` : 'Z'}`)
  return Number.isNaN(time) ? undefined : time
}

const isoTime = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)(?:Z|([+-])(\d\d)(?::?(\d\d))?)?)?$/

function kindOf(value: unknown): ColumnKind | undefined {
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? undefined : 'date'
  if (typeof value === 'number') return Number.isNaN(value) ? undefined : 'number'
  if (typeof value === 'bigint') return 'number'
  if (typeof value === 'string') return 'text'
  return typeof value === 'boolean' ? 'boolean' : undefined
}

function shown(value: unknown): string {
  if (value instanceof Date) return 'an invalid date'
  if (Array.isArray(value)) return 'an array'
  return typeof value === 'number' ? 'NaN' : `${typeof value === 'object' ? 'an' : 'a'} ${typeof value}`
}

function numberIn(text: string): Key | undefined {
  if (/^-?\d+$/.test(text)) return exact(BigInt(text))
  const value = text.trim() === '' ? Number.NaN : Number(text)
  // A text such as 1e400 is not the infinity that it becomes.
  return Number.isFinite(value) || /^-?Infinity$/.test(text) ? value : undefined
}

/** A number where it holds the value, which compares faster. */
function exact(value: bigint): Key {
  return Number.isSafeInteger(Number(value)) ? Number(value) : value
}

/** Compares as many columns as the second one has, most significant first. */
export function compareKeys(one: readonly (Key | null)[], other: readonly (Key | null)[], from = 0): number {
  for (let index = from; index < other.length; index++) {
    const [key, against] = [one[index] as Key, other[index] as Key]
    if (key < against) return -1
    if (key > against) return 1
  }
  return 0
}
