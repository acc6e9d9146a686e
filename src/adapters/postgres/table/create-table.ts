import { type Column, JobError } from '../../../adapter.js'
import { aName, dollarQuoted, isName, quoted, quotedList, type WriteSession } from '../client/index.js'
import { createTypes } from './create-types.js'
import { advisory } from './locks.js'
import { neutralTypeOf } from './neutral-type.js'
import type { TableRef } from './table.js'

/** The shape of a new table, in addition to the columns of the records. */
export interface TableShape {
  /** The column mapping. Default: every column, under its own name. */
  readonly columns?: Readonly<Record<string, string>>
  /** The primary key. */
  readonly key?: string | readonly string[]
}

/** The columns that every table has. */
const systemColumns = ['tableoid', 'xmin', 'cmin', 'xmax', 'cmax', 'ctid']

/** Pseudo-types, which no table has, types whose values the server writes and does not read, and names that may be those of several functions. */
const unwritable =
  /^(any\w*|record|cstring|void|pg_node_tree|pg_ndistinct|pg_dependencies|pg_mcv_list|pg_brin_\w+_summary|gtsvector|regproc|regoper)(\[\])?$/

/**
 * Creates the table, unless another job has created it, and the types that it needs. The caller commits at once and the table stays when the job
 * fails, so that other jobs do not wait.
 */
export async function createTable(
  session: WriteSession,
  ref: TableRef,
  columns: readonly Column[],
  { columns: mapping, key = [] }: TableShape,
): Promise<void> {
  const own = mapping ? mapped(mapping, columns) : columns
  const types = typesOf(ref, own)
  const names = [key].flat()
  const missing = names.find((name) => !types.has(name))
  if (missing !== undefined) {
    const known = [...types.keys()].join(', ')
    throw new JobError('target', `Expected records with the column \`${missing}\` of the key, got ${known}.`)
  }
  checkColumns(ref, types)
  const lines = [...types].map(([name, type]) => `${quoted(name)} ${type}`)
  if (names.length > 0) lines.push(`primary key (${quotedList(names)})`)
  // Without the lock, two jobs that create the same table at once would fail.
  const lock = `select pg_advisory_xact_lock(${advisory.create})`
  // Only a statement that reads a table sees what others have committed during the lock.
  const isThere = `select from pg_class where oid = to_regclass(${dollarQuoted(ref.sql)})`
  if ((await session.query(`${lock}; ${isThere}`)).length > 0) return
  await createTypes(
    session,
    own.flatMap(({ customType }) => customType ?? []),
  )
  await session.query(`create table if not exists ${ref.sql} (${lines.join(', ')})`)
}

/** Throws `target` for a name that no column can have, and for a type whose values no table takes. */
function checkColumns({ title }: TableRef, types: ReadonlyMap<string, string>): void {
  const unnameable = [...types.keys()].find((name) => !isName(name) || systemColumns.includes(name))
  if (unnameable !== undefined) {
    const other = systemColumns.includes(unnameable) ? ' other than those that every table has' : ''
    throw new JobError(
      'target',
      `Expected each column of \`${title}\` to have ${aName}${other}, got \`${unnameable}\`: rename it with \`columns\`.`,
    )
  }
  const [name, type] = [...types].find(([, type]) => unwritable.test(type)) ?? []
  if (type === undefined) return
  throw new JobError(
    'target',
    `Expected each column of \`${title}\` to have a type whose values Postgres reads from text, got \`${name}\` of the type ${type}: ` +
      `cast it in the query, as in \`${name}::text\`.`,
  )
}

function mapped(mapping: Readonly<Record<string, string>>, columns: readonly Column[]): Partial<Column>[] {
  return Object.entries(mapping).map(([source, name]) => ({ ...columns.find((it) => it.name === source), name }))
}

function typesOf({ title }: TableRef, columns: readonly Partial<Column>[]): Map<string, string> {
  const untyped = columns.filter(({ sqlType }) => sqlType === undefined).map(({ name }) => `\`${name}\``)
  if (untyped.length === 0 && columns.length > 0) {
    return new Map(columns.map((column) => [column.name as string, typeOf(column)]))
  }
  throw new JobError(
    'target',
    `Expected columns with a \`sqlType\` to create \`${title}\` with, as the Postgres datasource gives them, got none for ` +
      `${untyped.join(', ') || 'any'}. Objects, such as those of a transform, have no types: create the table first.`,
  )
}

/** The type of a column: its own where it is of Postgres. */
function typeOf(column: Partial<Column>): string {
  const { system = 'postgres', sqlType, customType, isNullable } = column
  if (system === 'postgres') return customType?.sqlType ?? (sqlType as string)
  return `${neutralTypeOf(column)}${isNullable === false ? ' not null' : ''}`
}
