import { type Column, JobError } from '../../../adapter.js'
import { aName, isName, quoted, quotedList } from '../client/index.js'
import type { WriteSession } from '../write/index.js'
import { neutralTypeOf } from './neutral-type.js'
import type { TableRef } from './table.js'

/** The shape of a new table, in addition to the columns of the records. */
export interface TableShape {
  /** The column mapping. Default: every column, under its own name. */
  readonly columns: Readonly<Record<string, string>> | undefined
  /** The primary key. */
  readonly key: readonly string[]
}

/** Creates the table, unless another job has created it. It is there at once, and stays when the job fails. */
export async function createTable(
  session: WriteSession,
  ref: TableRef,
  given: readonly Column[],
  { columns: mapping, key }: TableShape,
): Promise<void> {
  const columns = mapping ? mapped(mapping, given) : given
  checkColumns(ref, columns, key)
  const lines = columns.map((column) => {
    const isKey = key.includes(column.name as string)
    const isNull = column.isNullable === false || isKey ? 'not null' : 'null'
    return `${quoted(column.name as string)} ${typeOf(column, isKey)} ${isNull}`
  })
  if (key.length > 0) lines.push(`primary key (${quotedList(key)})`)
  // Texts that differ are different keys, as in other systems.
  const collation = session.facts.isMariadb ? 'utf8mb4_nopad_bin' : 'utf8mb4_0900_bin'
  await session.query(
    `create table if not exists ${ref.sql} (${lines.join(', ')}) engine = InnoDB character set utf8mb4 collate ${collation}`,
  )
}

function mapped(mapping: Readonly<Record<string, string>>, columns: readonly Column[]): Partial<Column>[] {
  return Object.entries(mapping).map(([source, name]) => ({ ...columns.find((it) => it.name === source), name }))
}

function checkColumns({ title }: TableRef, columns: readonly Partial<Column>[], key: readonly string[]): void {
  const untyped = columns.filter(({ type }) => type === undefined || type === 'value').map(({ name }) => `\`${name}\``)
  if (untyped.length > 0 || columns.length === 0) {
    throw new JobError(
      'target',
      `Expected columns with a type to create \`${title}\` with, as datasources of databases give them, got none for ` +
        `${untyped.join(', ') || 'any'}. Objects, such as those of a transform, have no types: create the table first.`,
    )
  }
  const names = columns.map(({ name }) => name as string)
  const missing = key.find((name) => !names.includes(name))
  if (missing !== undefined) {
    const message = `Expected records with the column \`${missing}\` of the key, got ${names.join(', ')}.`
    throw new JobError('target', message)
  }
  const unnameable = names.find((name) => !isName(name))
  if (unnameable === undefined) return
  const message = `Expected each column of \`${title}\` to have ${aName}, got \`${unnameable}\`: rename it with \`columns\`.`
  throw new JobError('target', message)
}

/** The type of a column: its own where it is of MySQL. */
function typeOf(column: Partial<Column>, isKey: boolean): string {
  const { system, sqlType } = column
  return system === 'mysql' && sqlType !== undefined ? sqlType : neutralTypeOf(column, isKey)
}
