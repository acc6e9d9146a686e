import { type Column, JobError, type Query, type ReadCursor, type ReadOptions, RecordBatch } from '../index.js'
import { formatOf } from './_postgres-binary.js'
import { attributesQuery, firstUserId } from './_postgres-catalog.js'
import { changedFailure, checkSameFields } from './_postgres-columns.js'
import { typeFailure } from './_postgres-cursor-failures.js'
import { type CursorType, cursorTypes } from './_postgres-cursor-types.js'
import type { Keyset } from './_postgres-keyset.js'
import { type ColumnOrder, orderOf } from './_postgres-order.js'
import type { RowFormat } from './_postgres-portal.js'
import type { Session, TextResult } from './_postgres-session.js'
import type { Field } from './_postgres-step.js'

/** What a read by a cursor is made of. */
export interface CursorReading {
  readonly query: Query
  readonly options: ReadOptions
  readonly cursor: ReadCursor
  /** Begins a transaction in which all statements see the same: the same as in that of `snapshot`, if it is given. */
  begin(snapshot?: string): Promise<Session>
  columnsOf(session: Session, fields: readonly Field[]): Promise<Column[]>
}

/** What the server tells of a query that is read by a cursor, before its first row. */
export interface Description {
  readonly columns: readonly Column[]
  /** The fields of the cursor's columns. */
  readonly fields: readonly Field[]
  /** The types of the cursor's columns. */
  readonly types: readonly CursorType[]
  /** What the cursor's columns are. */
  readonly order: readonly ColumnOrder[]
  /** The format of rows with these fields. Throws `datasource` when they are not those that were described. */
  formatOf(fields: readonly Field[]): RowFormat
  /** Throws `datasource` when a composite type in the columns was altered: the fields stay the same then. */
  checkAttributes(session: Session): Promise<void>
}

/**
 * Describes a query. `undefined` where the transaction sees its tables as empty, or as they were before they were rewritten: a
 * `truncate` and some forms of `alter table` do not spare those whose snapshot is older.
 */
export async function describe(
  session: Session,
  keyset: Keyset,
  { cursor, columnsOf, options }: CursorReading,
): Promise<Description | undefined> {
  const { fields } = await fieldsOf(session, keyset)
  const columns = await columnsOf(session, fields)
  const noRecords = RecordBatch.fromRows(columns, [])
  const own = cursor.columns.map((name) => fields[noRecords.indexOf(name)] as Field)
  const types = own.map(({ dataTypeID }, index) => {
    const type = cursorTypes.get(dataTypeID)
    if (type) return type
    throw typeFailure(cursor.columns[index] as string)
  })
  const texts = types.map(({ isText = false }) => isText)
  const { rows } = await session.run(keyset.identify(own, texts))
  const [isStale, ...told] = rows[0] as (string | null)[]
  if (isStale === 't') return undefined
  const order = own.map((field, index) => {
    const [source, isExact, collation] = told.slice(3 * index).map((text) => text ?? undefined)
    if (isExact === 'f') throw typeFailure(cursor.columns[index] as string)
    return orderOf(field, types[index] as CursorType, { source, collation })
  })
  const attributes = await attributesOf(session, fields)
  return {
    ...{ columns, fields: own, types, order },
    async checkAttributes(session) {
      if (attributes === undefined || (await attributesOf(session, fields)) === attributes) return
      throw changedFailure('the attributes of a composite type are others')
    },
    formatOf(now) {
      checkSameFields(fields, now)
      return formatOf(now, columns, options)
    },
  }
}

/** What the composite types of these fields hold; `undefined` where there are none. */
async function attributesOf(session: Session, fields: readonly Field[]): Promise<string | undefined> {
  const ids = fields.map(({ dataTypeID }) => dataTypeID).filter((id) => id >= firstUserId)
  if (ids.length === 0) return undefined
  const { rows } = await session.run({ text: attributesQuery, values: [`{${ids}}`] })
  const [attributes] = rows[0] as (string | null)[]
  return attributes ?? undefined
}

async function fieldsOf(session: Session, keyset: Keyset): Promise<TextResult> {
  try {
    return await session.run(keyset.describe())
  } catch (cause) {
    const { code } = Object(cause) as { code?: unknown }
    if (code !== syntaxError && code !== notSupported) throw cause
    const message =
      'The query cannot be read by a cursor, which reads it as `select … from (query)`: it has to be one that reads.'
    throw new JobError('datasource', message, { cause })
  }
}

/** What the server says of a statement that cannot stand in another one. */
const syntaxError = '42601'
const notSupported = '0A000'
