import { type Column, type ColumnOrder, JobError, type ReadCursor, RecordBatch } from '../../../adapter.js'
import { quoted } from '../client/index.js'
import { type Field, type ReadsOf, readFieldOf } from '../protocol/index.js'
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
  const fields = await fieldsOf(session, keyset)
  const columns = columnsOf(fields, await labelTypesOf(session, await session.describe(bareStatement(text))))
  const noRecords = RecordBatch.fromRows(columns, [])
  const cursorFields = names.map((name) => fields[noRecords.indexOf(name)] as Field)
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
    order: cursorFields.map((field, index) => orderOf(field, types[index] as CursorType, collations[index] as string)),
    readsOf(now) {
      checkSameFields(fields, now)
      return now.map(readFieldOf)
    },
  }
}

/** The server rounds values of the type float in text, unless they are a double. */
async function fieldsOf(session: ReadSession, keyset: Keyset): Promise<readonly Field[]> {
  const { fields } = await session.run(keyset.describe()).catch(throwWrapped)
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

function throwWrapped(cause: unknown): never {
  if (Object(cause).errno !== parseError) throw cause
  const message =
    'The query cannot be read by a cursor, which wraps it as `select … from (query)`. Use a query that only reads.'
  throw new JobError('datasource', message, { cause })
}

function orderOf(
  { decimals, schema, table, column }: Field,
  { name, isText }: CursorType,
  collation: string,
): ColumnOrder {
  const hasDigits = name === 'decimal' || name === 'datetime' || name === 'timestamp' || name === 'time'
  return {
    type: name,
    ...(hasDigits && { digits: decimals }),
    ...(isText && { collation }),
    ...(table !== '' && column !== '' && { source: [schema, table, column].map(quoted).join('.') }),
  }
}
