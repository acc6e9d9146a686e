import { dollarQuoted } from '../client/index.js'

/** SQL for whether a row was not written by the open transaction. Rows of its savepoints count as not written by it. */
const isOther = 'xmin <> (txid_current() & 4294967295)::text::xid'

/** SQL for whether a trigger of the user may fire, which may remove or update all earlier rows. */
function hasTriggers(table: string): string {
  const oid = `to_regclass(${dollarQuoted(table)})`
  return `exists (select from pg_trigger where not tgisinternal and tgenabled <> 'D'
    and (tgrelid = ${oid} or tgrelid in (select relid from pg_partition_tree(${oid}))))`
}

/**
 * A row that a table had: its place, the transaction that wrote it, the transaction that saw it, and its table, or the partition of the
 * table, with the file of that and its `relpersistence`, which earlier versions did not keep.
 */
const placePattern =
  /^(?<ctid>\(\d+,\d+\)) (?<xmin>\d+) (?<seenBy>\d+) (?<relation>\d+) (?<file>\d+)?(?: (?<persistence>[a-z]))?$/

interface Place {
  /** The place as text, as the SQL of `placeOf` returns it. */
  readonly text: string
  readonly ctid: string
  readonly xmin: string
  readonly seenBy: string
  readonly relation: string
  /** Absent for a foreign table. */
  readonly file?: string
  readonly persistence?: string
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
    const { xmin, seenBy, relation, file, persistence } = this.#place
    if (file === undefined) return isEmpty
    // After a truncate, the table of the row has another file, and others may have written rows. Those that vacuum full moves are old,
    // and those of other partitions may be as old as the last commit.
    const isOld = `age(xmin) >= least(age('${xmin}'::xid), age('${seenBy}'::xid))`
    // An `alter table` may write the rows again, as those of its transaction. What it has changed tells it from a truncate.
    const hasMoved = persistence === undefined ? 'false' : `headgate_class.relpersistence <> '${persistence}'`
    const isAltered = `${hasMoved}
      or exists (select from pg_attribute where attrelid = headgate_class.oid and xmin = headgate_class.xmin)`
    const isRewritten = `exists (select from pg_class headgate_class where oid = ${relation} and (${isAltered})
      and exists (${rows} where tableoid = headgate_class.oid and xmin = headgate_class.xmin))`
    return `${isEmpty} or (${fileOf(`${relation}::oid`)} is distinct from ${file}
      and not exists (${rows} where ${isOld}) and not ${isRewritten})`
  }

  /**
   * SQL for the place of a row, or null. With `withoutOwn`, once rows are expected, of a row from before the open transaction, unless
   * the table has triggers.
   */
  placeOf({ withoutOwn }: { readonly withoutOwn: boolean }): string {
    if (this.#table === undefined) return 'null'
    const seenBy = 'txid_current() & 4294967295'
    const file = `coalesce(${fileOf('tableoid')}::text, '')`
    const persistence = '(select relpersistence from pg_class headgate_class where headgate_class.oid = tableoid)'
    const rows = `select concat_ws(' ', ctid, xmin, ${seenBy}, tableoid, ${file}, ${persistence}) from ${this.#table}`
    if (this.#place === undefined) return `(${rows} limit 1)`
    const others = withoutOwn ? isOther : 'true'
    return `coalesce((${rows} where ${this.#isThere} and ${others} limit 1), (${rows} where ${others} limit 1),
      (${rows} where ${hasTriggers(this.#table)} limit 1))`
  }

  /** Forgets the row: the job itself removes all rows. */
  forget(): void {
    this.#place = undefined
  }

  /** The remembered place, as text. */
  get place(): string | undefined {
    return this.#place?.text
  }

  /** Remembers the place of a row. */
  see(place: unknown): void {
    const found = typeof place === 'string' ? placePattern.exec(place) : undefined
    if (found) this.#place = { ...found.groups, text: found[0] } as unknown as Place
  }

  get #isThere(): string {
    return `ctid = '${this.#place?.ctid}' and tableoid = ${this.#place?.relation}`
  }
}

/** SQL for the file of a table, which a truncate replaces. Null for a table that is gone, or that has no file. */
function fileOf(table: string): string {
  return `pg_relation_filenode(${table})::bigint`
}
