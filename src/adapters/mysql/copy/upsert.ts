import { JobError } from '../../../adapter.js'
import { quoted } from '../client/index.js'
import type { LineField } from '../lines/index.js'
import type { Table, UniqueKey } from '../table/index.js'
import type { LoadPlan } from './table-copy.js'

/** Inserts rows with a new key and updates rows with a known key. Of several records with one key, the last one counts. */
export class Upsert implements LoadPlan {
  readonly mayUpdate = true
  readonly key: readonly string[]
  readonly #isMariadb: boolean

  constructor(key: readonly string[], isMariadb: boolean) {
    this.key = key
    this.#isMariadb = isMariadb
  }

  into({ sql }: Table): string {
    return sql
  }

  async check(table: Table): Promise<void> {
    checkUpsert(table, this.key)
  }

  /** A unique key that counts by itself finds no row, as long as the records leave it out. */
  accept(fields: readonly LineField[], table: Table): void {
    const names = new Set(fields.map(({ name }) => name))
    const other = othersOf(table, this.key).find(({ columns }) => columns.every((column) => names.has(column)))
    if (other) throw otherKey(table, other, this.key)
  }

  /** The key is set too: values that the server finds equal may look different. */
  tail(fields: readonly LineField[]): string {
    const value = (name: string) => (this.#isMariadb ? `values(${quoted(name)})` : `headgate_new.${quoted(name)}`)
    const sets = fields.map(({ name }) => `${quoted(name)} = ${value(name)}`)
    return `${this.#isMariadb ? '' : ' as headgate_new'} on duplicate key update ${sets.join(', ')}`
  }
}

/** Throws `target` unless the key is a unique key of the table, and no other one could find another row. */
export function checkUpsert(table: Table, key: readonly string[]): void {
  const { title, columns, keys } = table
  const missing = key.find((name) => !columns.has(name))
  if (missing !== undefined)
    throw new JobError('target', `Expected \`${title}\` to have the column \`${missing}\` of the key.`)
  const own = keys.find((known) => isKey(known, key))
  if (!own) {
    const known = keys.map((it) => `${it.name} (${it.columns.join(', ')})`).join(', ') || 'none'
    const message = `Expected \`${title}\` to have a primary or unique key of exactly (${key.join(', ')}), as the key says, got ${known}.`
    throw new JobError('target', message)
  }
  const other = othersOf(table, key).find((it) => !countsItself(table, it))
  if (other) throw otherKey(table, other, key)
}

function othersOf({ keys }: Table, key: readonly string[]): UniqueKey[] {
  return keys.filter((known) => !isKey(known, key))
}

function isKey({ columns, isPartial }: UniqueKey, key: readonly string[]): boolean {
  return !isPartial && columns.length === key.length && key.every((name) => columns.includes(name))
}

/** Whether the server gives a value of its own to a column of the key. */
function countsItself({ columns }: Table, key: UniqueKey): boolean {
  return key.columns.some((name) => columns.get(name)?.isAutoIncrement)
}

function otherKey({ title }: Table, { name, columns }: UniqueKey, key: readonly string[]): JobError {
  return new JobError(
    'target',
    `\`${title}\` has another unique key, ${name} (${columns.join(', ')}), beside (${key.join(', ')}). MySQL would update the row that any of them ` +
      `finds, and so overwrite the wrong one: drop that key, make it a plain index, or append.`,
  )
}
