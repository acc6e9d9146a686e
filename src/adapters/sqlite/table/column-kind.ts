import { affinityOf } from '../read/index.js'

/**
 * What a column does to a value that is stored in it. `loose`: its declared type is none of SQLite, such as `DATE` or `JSON`, so that it turns
 * texts that read as numbers into numbers. `any`: it stores every value as it is.
 */
export type ColumnKind = 'integer' | 'real' | 'numeric' | 'text' | 'loose' | 'any'

/** The names of types of numbers that SQLite itself does not know. */
const numbers = /NUM|DEC|MONEY|BOOL|FIXED/i

export function kindOf(declared: string): ColumnKind {
  const affinity = affinityOf(declared)
  if (affinity === 'blob') return 'any'
  return affinity === 'numeric' && !numbers.test(declared) ? 'loose' : affinity
}
