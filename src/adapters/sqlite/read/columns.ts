import { type Column, JobError } from '../../../adapter.js'
import type { ResultColumn } from '../client/index.js'

/** The storage classes that a declared type prefers, as the documentation of SQLite calls them. */
export type Affinity = 'integer' | 'real' | 'numeric' | 'text' | 'blob'

/** The affinity of a declared type: https://sqlite.org/datatype3.html, section 3.1. */
export function affinityOf(declared: string): Affinity {
  const name = declared.toUpperCase()
  if (name.includes('INT')) return 'integer'
  if (/CHAR|CLOB|TEXT/.test(name)) return 'text'
  if (name.includes('BLOB') || name === '' || name === 'ANY') return 'blob'
  return /REAL|FLOA|DOUB/.test(name) ? 'real' : 'numeric'
}

const booleans = /^BOOL(EAN)?$/i
const timesAndJson = /^(DATE|TIME|JSON)/i

/** The neutral type of a column: what its declared type promises. SQLite itself lets any value in, unless the table is strict. */
function typeOf(declared: string): Pick<Column, 'type' | 'precision' | 'scale'> {
  if (booleans.test(declared)) return { type: 'boolean' }
  // SQLite has no such types: these are texts, or numbers of an epoch that only their writer knows.
  if (timesAndJson.test(declared)) return { type: 'text' }
  const affinity = affinityOf(declared)
  if (affinity === 'integer') return { type: 'bigint', precision: 19, scale: 0 }
  if (affinity === 'real') return { type: 'float' }
  if (affinity === 'numeric') return { type: 'decimal' }
  return { type: affinity === 'blob' ? 'bytes' : 'text' }
}

/** Whether a declared type says nothing of the values. */
function isUntyped(declared: string | null): boolean {
  return declared === null || declared === '' || /^ANY$/i.test(declared)
}

/**
 * The columns of a result. Throws `datasource` when two columns have the same name, because a record can hold only one of them. A column
 * without a declared type, such as an expression, has no `sqlType`, so no target creates a table from it.
 */
export function columnsOf(result: readonly ResultColumn[]): Column[] {
  const names = result.map(({ name }) => name)
  const repeated = names.find((name, index) => names.indexOf(name) < index)
  if (repeated !== undefined) {
    throw new JobError(
      'datasource',
      `Expected columns with different names, got \`${repeated}\` twice: rename one with "as".`,
    )
  }
  return result.map(({ name, type }): Column => {
    if (isUntyped(type)) return { name, type: 'text', system: 'sqlite' }
    const declared = type as string
    const column = { name, ...typeOf(declared), system: 'sqlite', sqlType: declared }
    return column.type === 'boolean' ? { ...column, decode: booleanOf } : column
  })
}

/** What is neither 0 nor 1 stays as it is. */
function booleanOf(raw: unknown): unknown {
  return raw === 1 ? true : raw === 0 ? false : exact(raw)
}

/** Integers that a JavaScript number does not hold become text with all digits, as those of other systems. */
function exact(raw: unknown): unknown {
  return typeof raw === 'bigint' ? String(raw) : raw
}

/** The columns of batches. A column with large integers decodes them. Others need no decoding. */
export class BatchColumns {
  readonly #plain: readonly Column[]
  readonly #known = new Map<string, readonly Column[]>()

  constructor(plain: readonly Column[]) {
    this.#plain = plain
  }

  /** The columns of a batch, with the indexes of those that have large integers. The same array for the same indexes. */
  with(large: ReadonlySet<number>): readonly Column[] {
    if (large.size === 0) return this.#plain
    const key = [...large].sort((a, b) => a - b).join(',')
    const known = this.#known.get(key)
    if (known) return known
    const columns = this.#plain.map((column, index) =>
      large.has(index) && !column.decode ? { ...column, decode: exact } : column,
    )
    this.#known.set(key, columns)
    return columns
  }
}
