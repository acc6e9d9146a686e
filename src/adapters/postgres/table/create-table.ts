import { type Column, JobError } from '../../../adapter.js'
import { aName, isName, quoted, quotedList, type WriteSession } from '../client/index.js'
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

/**
 * Creates the table, unless another job has created it. The caller commits at once and the table stays when the job
 * fails, so that other jobs do not wait.
 */
export async function createTable(
  session: WriteSession,
  ref: TableRef,
  columns: readonly Column[],
  { columns: mapping, key = [] }: TableShape,
): Promise<void> {
  const types = typesOf(ref, mapping ? mapped(mapping, columns) : columns)
  const names = [key].flat()
  const missing = names.find((name) => !types.has(name))
  if (missing !== undefined) {
    const known = [...types.keys()].join(', ')
    throw new JobError('target', `Expected records with the column \`${missing}\` of the key, got ${known}.`)
  }
  const unnameable = [...types.keys()].find((name) => !isName(name))
  if (unnameable !== undefined) {
    const message = `Expected each column of \`${ref.title}\` to have ${aName}, got \`${unnameable}\`: rename it with \`columns\`.`
    throw new JobError('target', message)
  }
  const lines = [...types].map(([name, type]) => `${quoted(name)} ${type}`)
  if (names.length > 0) lines.push(`primary key (${quotedList(names)})`)
  // Without the lock, two jobs that create the same table at once would fail.
  await session.query(`select pg_advisory_xact_lock(${advisory.create});
    create table if not exists ${ref.sql} (${lines.join(', ')})`)
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
  const { system = 'postgres', sqlType, isNullable } = column
  if (system === 'postgres') return sqlType as string
  return `${neutralTypeOf(column)}${isNullable === false ? ' not null' : ''}`
}
