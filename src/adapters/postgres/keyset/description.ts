import { type ColumnOrder, type CursorReadOptions, JobError, type Query, RecordBatch } from '../../../adapter.js'
import { changedFailure, type Field } from '../protocol/index.js'
import {
  attributesQuery,
  isRefusedQuery,
  type Layout,
  type ReadSession,
  statementFailure,
  type TextResult,
} from '../read/index.js'
import { firstUserId } from '../types/index.js'
import { type CursorType, cursorTypes } from './cursor-types.js'
import { typeFailure } from './errors.js'
import type { Keyset } from './keyset.js'
import { orderOf } from './order.js'
import { bareStatement } from './single-statement.js'

/** The inputs of a read by a cursor. */
export interface CursorReading {
  readonly query: Query
  readonly options: CursorReadOptions
  /** Begins a transaction with one snapshot for all statements: that of `snapshot`, if given. */
  begin(snapshot?: string): Promise<ReadSession>
  layoutOf(session: ReadSession, fields: readonly Field[]): Promise<Layout>
}

/** The description of a query that is read by a cursor, before its first row. */
export interface Description extends Layout {
  /** The fields of the cursor's columns. */
  readonly fields: readonly Field[]
  /** The types of the cursor's columns. */
  readonly types: readonly CursorType[]
  /** The order of the cursor's columns. */
  readonly order: readonly ColumnOrder[]
  /** Throws `datasource` when a composite type in the columns was altered, which the fields do not show. */
  checkAttributes(session: ReadSession): Promise<void>
}

/**
 * Describes a query. Returns `undefined` when the transaction sees its tables as empty or as before a rewrite:
 * `truncate` and some forms of `alter table` also affect transactions with an older snapshot.
 */
export async function describe(
  session: ReadSession,
  keyset: Keyset,
  { query, layoutOf, options }: CursorReading,
): Promise<Description | undefined> {
  const { cursor } = options
  const { fields } = await fieldsOf(session, keyset, query)
  const layout = await layoutOf(session, fields)
  const noRecords = RecordBatch.fromRows(layout.columns, [])
  const cursorFields = cursor.columns.map((name) => fields[noRecords.indexOf(name)] as Field)
  const types = cursorFields.map(({ dataTypeID }, index) => {
    const type = cursorTypes.get(dataTypeID)
    if (type) return type
    throw typeFailure(cursor.columns[index] as string)
  })
  const texts = types.map(({ isText = false }) => isText)
  const { rows } = await session.run(keyset.identify(cursorFields, texts))
  const [isStale, ...facts] = rows[0] as (string | null)[]
  if (isStale === 't') return undefined
  const order = cursorFields.map((field, index) => {
    const [source, isExact, collation] = facts.slice(3 * index).map((text) => text ?? undefined)
    if (isExact === 'f') throw typeFailure(cursor.columns[index] as string)
    return orderOf(field, types[index] as CursorType, { source, collation })
  })
  const attributes = await attributesOf(session, fields)
  return {
    ...{ ...layout, fields: cursorFields, types, order },
    async checkAttributes(session) {
      if (attributes === undefined || (await attributesOf(session, fields)) === attributes) return
      throw changedFailure('the attributes of a composite type differ')
    },
  }
}

/** A digest of the attributes of the composite types of these fields; `undefined` without such types. */
async function attributesOf(session: ReadSession, fields: readonly Field[]): Promise<string | undefined> {
  const ids = fields.map(({ dataTypeID }) => dataTypeID).filter((id) => id >= firstUserId)
  if (ids.length === 0) return undefined
  const { rows } = await session.run({ text: attributesQuery, values: [`{${ids}}`] })
  const [attributes] = rows[0] as (string | null)[]
  return attributes ?? undefined
}

async function fieldsOf(session: ReadSession, keyset: Keyset, query: Query): Promise<TextResult> {
  try {
    return await session.run(keyset.describe())
  } catch (cause) {
    const { code } = Object(cause) as { code?: unknown }
    if (!isRefusedQuery(code)) throw cause
    await checkAlone(session, query)
    if (code !== syntaxError && code !== notSupported) throw cause
    const message =
      'The query cannot be read by a cursor, which wraps it as `select … from (query)`. Use a query that only reads.'
    throw new JobError('datasource', message, { cause })
  }
}

/** Throws what the server says of a query as it was written, if it refuses that too. Ends the transaction. */
async function checkAlone(session: ReadSession, query: Query): Promise<void> {
  await session.run({ text: 'rollback', values: [] })
  try {
    await session.describe(bareStatement(query.text))
  } catch (cause) {
    throw statementFailure(cause, query)
  }
}

/** The SQLSTATEs for a statement that cannot be a subquery. */
const syntaxError = '42601'
const notSupported = '0A000'
