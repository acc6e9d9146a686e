import { type Column, JobError } from '../index.js'
import { aName, isName, quoted, quotedList } from '../postgres/identifiers.js'
import type { Session } from './_postgres-session.js'
import type { Place } from './_postgres-table.js'

/** What a table is made from, beside the columns of the records. */
export interface TableShape {
  /** Which columns go where; each to the one of its own name, if it is missing. */
  readonly columns?: Readonly<Record<string, string>>
  /** The primary key. */
  readonly key?: string | readonly string[]
}

/**
 * Makes the table, unless another job has done so meanwhile. It is committed at once, and stays when the job fails: nobody
 * then waits for the one who was first.
 */
export async function createTable(
  session: Session,
  place: Place,
  columns: readonly Column[],
  { columns: mapping, key = [] }: TableShape,
): Promise<void> {
  const types = typesOf(place, mapping ? mapped(mapping, columns) : columns)
  const names = [key].flat()
  const missing = names.find((name) => !types.has(name))
  if (missing !== undefined) {
    const known = [...types.keys()].join(', ')
    throw new JobError('target', `Expected records with the column \`${missing}\` of the key, got ${known}.`)
  }
  const unnameable = [...types.keys()].find((name) => !isName(name))
  if (unnameable !== undefined) {
    const message = `Expected each column of \`${place.title}\` to have ${aName}, got \`${unnameable}\`: say in \`columns\` what it is called.`
    throw new JobError('target', message)
  }
  const lines = [...types].map(([name, type]) => `${quoted(name)} ${type}`)
  if (names.length > 0) lines.push(`primary key (${quotedList(names)})`)
  // Two that make the same table at once would fail without the lock.
  await session.query(`select pg_advisory_xact_lock(hashtextextended('headgate_create', 0));
    create table if not exists ${place.sql} (${lines.join(', ')})`)
}

function mapped(mapping: Readonly<Record<string, string>>, columns: readonly Column[]): Partial<Column>[] {
  return Object.entries(mapping).map(([source, name]) => ({ ...columns.find((it) => it.name === source), name }))
}

function typesOf({ title }: Place, columns: readonly Partial<Column>[]): Map<string, string> {
  const untyped = columns.filter(({ sqlType }) => sqlType === undefined).map(({ name }) => `\`${name}\``)
  if (untyped.length === 0 && columns.length > 0) {
    return new Map(columns.map(({ name, sqlType }) => [name as string, sqlType as string]))
  }
  throw new JobError(
    'target',
    `Expected columns with a \`sqlType\` to create \`${title}\` with, as the Postgres datasource gives them, got none for ` +
      `${untyped.join(', ') || 'any'}. Objects, such as a transform makes, have no types: create the table before.`,
  )
}
