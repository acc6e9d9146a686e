import { type Column, type ColumnOrder, JobError, type Query, type ReadCursor, RecordBatch } from '../../../adapter.js'
import { placeholderHint } from '../../shared/index.js'
import { quoted } from '../client/index.js'
import { type DescribedColumn, type Field, type ReadsOf, readFieldOf } from '../protocol/index.js'
import { checkSameFields, columnsOf, isRounded, labelTypesOf, type ReadSession } from '../read/index.js'
import { type CursorType, cursorTypeOf, textTypeOf } from './cursor-types.js'
import { typeFailure } from './errors.js'
import { bareStatement, type Keyset } from './keyset.js'

/** The description of a query that is read by a cursor, before its first row. */
export interface Description {
  readonly columns: readonly Column[]
  /** The types of the cursor's columns. */
  readonly types: readonly CursorType[]
  /** The order of the cursor's columns. */
  readonly order: readonly ColumnOrder[]
  /** Whether each of the cursor's columns may be null. */
  readonly nullable: readonly boolean[]
  /** Returns how rows with these fields are read. Throws `datasource` when the fields differ from the description. */
  readonly readsOf: ReadsOf
}

/** Describes a query, and tells the keyset its types. */
export async function describe(
  session: ReadSession,
  keyset: Keyset,
  text: string,
  { columns: names }: ReadCursor,
): Promise<Description> {
  // First, so that a mistake of the query is told as the server tells of the query itself, not of the one around it.
  const described = await session.describe(bareStatement(text))
  const fields = await fieldsOf(session, keyset)
  const columns = columnsOf(fields, await labelTypesOf(session, described))
  const noRecords = RecordBatch.fromRows(columns, [])
  const indexes = names.map((name) => noRecords.indexOf(name))
  const cursorFields = indexes.map((index) => fields[index] as Field)
  const { rows } = await session.run(keyset.collations())
  const collations = (rows[0] ?? []).map((name) => String(name))
  const types = cursorFields.map((field, index) => {
    const type = cursorTypeOf(field)
    const found = type?.isText ? textTypeOf(type, collations[index] as string) : type
    if (!found) throw typeFailure(names[index] as string)
    return found
  })
  keyset.types = types
  return {
    ...{ columns, types },
    nullable: cursorFields.map(({ isNullable }) => isNullable),
    order: cursorFields.map((field, index) => ({
      ...orderOf(field, types[index] as CursorType, collations[index] as string),
      ...originOf(described[indexes[index] as number]),
    })),
    readsOf(now) {
      checkSameFields(fields, now)
      return now.map(readFieldOf)
    },
  }
}

/** The server rounds values of the type float in text, unless they are a double. */
async function fieldsOf(session: ReadSession, keyset: Keyset): Promise<readonly Field[]> {
  const query = keyset.describe()
  const { fields } = await session.run(query).catch((cause) => throwWrapped(cause, query))
  if (!fields.some(isRounded)) return fields
  keyset.list = fields.map(exactOf).join(', ')
  return (await session.run(keyset.describe())).fields
}

function exactOf(field: Field): string {
  const name = quoted(field.name)
  return isRounded(field) ? `q.${name} + 0e0 as ${name}` : `q.${name}`
}

/** The number of the error for a syntax that the server does not know, as in a statement that cannot be a subquery. */
const parseError = 1064

function throwWrapped(cause: unknown, query: Query): never {
  if (Object(cause).errno !== parseError || placeholderHint(query) !== '') throw cause
  const message =
    'The query cannot be read by a cursor, which wraps it as `select … from (query)`. Use a query that only reads.'
  throw new JobError('datasource', message, { cause })
}

function orderOf({ decimals }: Field, { name, isText }: CursorType, collation: string): ColumnOrder {
  const hasDigits = name === 'decimal' || name === 'datetime' || name === 'timestamp' || name === 'time'
  return {
    type: name,
    ...(hasDigits && { digits: decimals }),
    ...(isText && { collation }),
  }
}

/** Where a column comes from, as the server tells of the query itself. Of the wrapped query, it may tell its alias. */
function originOf(described: DescribedColumn | undefined): Pick<ColumnOrder, 'origin'> {
  if (!described?.table || !described.column) return {}
  const { schema, table, column } = described
  return { origin: [schema, table, column].filter((name) => name !== '').join('.') }
}
