import { JobError, type Query, quotedNames } from '../../../adapter.js'
import { quoted, type ResultColumn, type StoredValue } from '../client/index.js'
import { type Affinity, affinityOf, bareStatement, type ReadSession } from '../read/index.js'

/** How SQLite compares a cursor column with a value. */
export interface ColumnRule {
  readonly name: string
  /**
   * What SQLite may do to the value first: `numeric` turns texts into numbers, `text` turns numbers into texts. An expression has none here, as
   * the conditions take it from it.
   */
  readonly affinity: 'numeric' | 'text' | 'none'
  readonly collation: 'BINARY' | 'NOCASE' | 'RTRIM'
  /** Whether the column is one of a table, so that its declared type tells what SQLite does. */
  readonly isDeclared: boolean
}

const affinityClasses: Readonly<Record<Affinity, ColumnRule['affinity']>> = {
  integer: 'numeric',
  real: 'numeric',
  numeric: 'numeric',
  text: 'text',
  blob: 'none',
}

/** A subquery of one column `v` that has no rows of the query but compares like its column, and of the rows of `values`. */
export function likeColumn({ text }: Query, name: string, values: string): string {
  return `(select q.${quoted(name)} as v from (\n${bareStatement(text)}\n) q where false union all ${values})`
}

/** How SQLite compares each column of a query. No function of SQL tells the collation of one, but its comparisons do. */
export function rulesOf(
  session: ReadSession,
  query: Query,
  names: readonly string[],
  result: readonly ResultColumn[],
): ColumnRule[] {
  // In a union, the type that is declared for a column is that of its first query.
  const plan = session.all({ ...query, text: `explain query plan select * from (\n${bareStatement(query.text)}\n) q` })
  const isSimple = plan.every((line) => /^(SCAN|SEARCH) /.test(String(line[3])))
  return names.map((name) => {
    const compare = (value: string, other: string): boolean => {
      const text = `select c.v = ${other} from ${likeColumn(query, name, `select ${value}`)} c`
      return session.all({ text, values: query.values })[0]?.[0] === 1
    }
    const found = result.find((column) => column.name === name)
    const declared = found?.type ?? null
    const affinity = declared === null ? 'none' : affinityClasses[affinityOf(declared)]
    const collation = compare("'a'", "'A'") ? 'NOCASE' : compare("'a'", "'a '") ? 'RTRIM' : 'BINARY'
    return { name, affinity, collation, isDeclared: isSimple && typeof found?.column === 'string' }
  })
}

/** A text that SQLite takes for a number where it compares with a column of numbers. */
const numeric = /^[\t\n\v\f\r ]*[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?[\t\n\v\f\r ]*$/i

export function isNumeric(text: string): boolean {
  return numeric.test(text)
}

/**
 * Throws `datasource` for a value that SQLite would turn into one of another class to compare it: a read after it would skip records or
 * return some again. No table has such a value in a column, but a union of queries may.
 */
export function checkKept({ name, affinity }: ColumnRule, value: StoredValue): void {
  const isNumber = typeof value === 'number' || typeof value === 'bigint'
  const changes =
    affinity === 'text' ? isNumber : affinity === 'numeric' && typeof value === 'string' && isNumeric(value)
  if (!changes) return
  const [got, other] = isNumber ? ['number', 'text'] : ['text', 'number']
  throw new JobError(
    'datasource',
    `The cursor column ${quotedNames([name])} has the ${got} ${JSON.stringify(String(value))}, which SQLite would compare as a ${other}: use \`cast\` in the query, so that it has values of one type.`,
  )
}

/** Maps equal values to equal text. */
export function canonical({ collation }: ColumnRule): (raw: unknown) => string {
  return (raw) => {
    if (typeof raw !== 'string')
      return raw instanceof Uint8Array ? `x${hexOf(raw)}` : numberText(raw as number | bigint)
    if (collation === 'NOCASE') return `'${raw.replace(/[A-Z]+/g, (letters) => letters.toLowerCase())}`
    return `'${collation === 'RTRIM' ? withoutEnd(raw) : raw}`
  }
}

export function hexOf({ buffer, byteOffset, byteLength }: Uint8Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString('hex')
}

/** Integers and floating point numbers are equal when their values are. */
function numberText(value: number | bigint): string {
  return Number.isInteger(value) ? String(BigInt(value)) : String(value)
}

function withoutEnd(text: string): string {
  let end = text.length
  while (end > 0 && text[end - 1] === ' ') end--
  return text.slice(0, end)
}
