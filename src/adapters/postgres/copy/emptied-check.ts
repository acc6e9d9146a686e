import { dollarQuoted } from '../client/index.js'

/** SQL for whether a row was not written by the open transaction. Rows of its savepoints count as not written by it. */
const isOther = 'xmin <> (txid_current() & 4294967295)::text::xid'

/** SQL for whether a trigger of the user may fire, which may remove or update all earlier rows. */
function hasTriggers(table: string): string {
  const oid = `to_regclass(${dollarQuoted(table)})`
  return `exists (select from pg_trigger where not tgisinternal and tgenabled <> 'D'
    and (tgrelid = ${oid} or tgrelid in (select relid from pg_partition_tree(${oid}))))`
}

/** A row that a table had: its place, the transaction that wrote it, and the file of the table. */
const placePattern = /^(?<ctid>\(\d+,\d+\)) (?<xmin>\d+) (?<file>\d+)?$/

interface Place {
  readonly ctid: string
  readonly xmin: string
  /** Absent for a partitioned table. */
  readonly file?: string
}

/**
 * Notices that a table has lost all its rows while a job writes to it. It knows the place of one row, which shows at a constant cost
 * that the table has rows. Only when no row is there any more does it search for another one.
 */
export class EmptiedCheck {
  #table: string | undefined
  #place: Place | undefined

  /** Begins to watch a table, given as SQL. */
  watch(table: string): void {
    this.#table = table
  }

  /** Whether the table had rows of the job, so that it must have rows. */
  get expectsRows(): boolean {
    return this.#place !== undefined
  }

  /** SQL for whether the table has lost all rows. Undefined while it need not have any. */
  get isEmptied(): string | undefined {
    if (this.#place === undefined) return undefined
    const rows = `select from ${this.#table}`
    const isEmpty = `not exists (${rows} where ${this.#isThere}) and not exists (${rows})`
    const { xmin, file } = this.#place
    if (file === undefined) return isEmpty
    // After a truncate, the table has another file, and others may have written rows. Those that vacuum full moves are old.
    return `${isEmpty} or (${this.#file} <> ${file} and not exists (${rows} where age(xmin) >= age('${xmin}'::xid)))`
  }

  /**
   * SQL for the place of a row, or null. With `withoutOwn`, once rows are expected, of a row from before the open transaction, unless
   * the table has triggers.
   */
  placeOf({ withoutOwn }: { readonly withoutOwn: boolean }): string {
    if (this.#table === undefined) return 'null'
    const rows = `select concat_ws(' ', ctid, xmin, coalesce(${this.#file}::text, '')) from ${this.#table}`
    if (this.#place === undefined) return `(${rows} limit 1)`
    const others = withoutOwn ? isOther : 'true'
    return `coalesce((${rows} where ${this.#isThere} and ${others} limit 1), (${rows} where ${others} limit 1),
      (${rows} where ${hasTriggers(this.#table)} limit 1))`
  }

  /** Remembers the place of a row. */
  see(place: unknown): void {
    const found = typeof place === 'string' ? placePattern.exec(place)?.groups : undefined
    if (found) this.#place = found as unknown as Place
  }

  get #isThere(): string {
    return `ctid = '${this.#place?.ctid}'`
  }

  /** SQL for the file of the table, which a truncate replaces. Null for a partitioned table. */
  get #file(): string {
    return `pg_relation_filenode(${dollarQuoted(this.#table ?? '')})::bigint`
  }
}
