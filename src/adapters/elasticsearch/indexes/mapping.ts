import type { Column, ColumnType } from '../../../adapter.js'

/** What a field of a mapping says. */
type Field = Readonly<Record<string, unknown>>

/** A text that is searched by its words, and as a whole by `<name>.keyword`: what the server itself makes of a text. */
const text: Field = { type: 'text', fields: { keyword: { type: 'keyword', ignore_above: 256 } } }

/** Types without a field are left to the server, which looks at the first value: JSON may be anything. */
const fields: Readonly<Record<ColumnType, Field | undefined>> = {
  boolean: { type: 'boolean' },
  integer: { type: 'long' },
  bigint: { type: 'long' },
  float: { type: 'double' },
  decimal: { type: 'double' },
  date: { type: 'date' },
  timestamp: { type: 'date' },
  timestamptz: { type: 'date' },
  time: { type: 'keyword' },
  interval: { type: 'keyword' },
  bytes: { type: 'binary' },
  text,
  json: undefined,
  array: undefined,
  value: undefined,
}

/** Names that the server reads as paths, or refuses. */
const isPath = /\.|^$/

/** The mapping of the columns of a query. */
export function mappingOf(columns: readonly Column[]): Readonly<Record<string, Field>> {
  const known = columns.map((column) => [column.name, fieldOf(column)] as const)
  return Object.fromEntries(known.filter(([name, field]) => field !== undefined && !isPath.test(name))) as Record<
    string,
    Field
  >
}

function fieldOf({ type, element, sqlType, scale, precision }: Column): Field | undefined {
  if (type === 'array') return element === undefined ? undefined : fields[element]
  if (type === 'text' && sqlType === 'uuid') return { type: 'keyword' }
  // More digits fit no `long`.
  if (type === 'decimal' && scale === 0 && precision !== undefined && precision <= 18) return { type: 'long' }
  return fields[type]
}
