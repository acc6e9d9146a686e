import { JobError, type JobErrorOptions } from '../../../adapter.js'
import type { WriteSession } from '../client/index.js'
import type { Guard, RowGroup } from '../table/index.js'
import type { EmptiedCheck } from './emptied-check.js'
import type { Fence } from './fence.js'
import { failIfAltered } from './fence-errors.js'
import type { LoadStrategy } from './load.js'
import { inSavepoint } from './savepoint.js'

/** A connection that copies records, with its open transaction and COPY. */
export class CopyConnection {
  readonly session: WriteSession
  readonly #fence: Fence
  readonly #emptiedCheck: EmptiedCheck
  readonly #onRowsDropped: () => void
  #isBegun = false
  /** Whether this connection has written rows. */
  #hasWritten = false
  /** The open COPY: its strategy, and its format and columns. */
  #copy: { readonly load: LoadStrategy; readonly layout: string } | undefined
  /** For each batch in the last COPY: its key, how many rows came before it, and the index of each row in the batch. */
  #written: { readonly start: number; readonly key: string; readonly origins: RowGroup['origins'] }[] = []
  #rows = 0

  /** `onRowsDropped` is called when COPY wrote fewer rows than it got. */
  constructor(session: WriteSession, fence: Fence, emptiedCheck: EmptiedCheck, onRowsDropped: () => void) {
    this.session = session
    this.#fence = fence
    this.#emptiedCheck = emptiedCheck
    this.#onRowsDropped = onRowsDropped
  }

  /** Throws when the table was altered since the job found it. An open COPY prevents that. */
  async checkTable(guard: Guard | undefined): Promise<void> {
    if (guard && !this.#copy) await this.#fence.checkTable(this.session, guard)
  }

  /** Writes a batch: continues the COPY to its columns, or starts one. The server may refuse rows of it while later ones are sent. */
  async write(groups: readonly RowGroup[], load: LoadStrategy, key: string): Promise<void> {
    this.#begin(load.guard)
    this.#hasWritten = true
    for (const group of groups) {
      const layout = [group.isBinary, group.isMarked, ...group.names].join('\0')
      if (this.#copy?.layout !== layout) {
        await this.#endCopy()
        this.#countRows()
        await load.start(this.session, group)
        this.#copy = { load, layout }
      }
      this.#count(group, key)
      await this.#send(group)
    }
  }

  async #send(group: RowGroup): Promise<void> {
    try {
      for (const piece of group.pieces()) await this.session.writeCopy(piece)
    } catch (error) {
      // What refuses a value may be a column that was altered, which the answer to the COPY tells.
      if (JobError.isInstance(error) && error.recordIndex !== undefined) await this.session.endCopy()
      throw error
    }
  }

  /**
   * Writes a batch completely or not at all. Encodes it before sending any of it, and after the transaction has
   * locked the columns that it is encoded for.
   */
  async writeWhole(groups: readonly RowGroup[], load: LoadStrategy, key: string): Promise<void> {
    await this.#beginTolerant(load.guard)
    this.#hasWritten = true
    const encoded = groups.map((group) => ({ group, pieces: [...group.pieces()] }))
    await inSavepoint(this.session, load, async () => {
      for (const { group, pieces } of encoded) {
        this.#countRows()
        this.#count(group, key)
        await load.start(this.session, group)
        for (const piece of pieces) await this.session.writeCopy(piece)
        await this.#end(load)
        await load.clear(this.session)
      }
    })
  }

  /**
   * Commits the written records together with the checkpoint, unless the table was altered or has lost all earlier rows since they
   * were written.
   */
  async flush(checkpoint: unknown, load: LoadStrategy | undefined): Promise<void> {
    // An upsert may replace every row, so it looks for earlier ones before it merges.
    if (this.#copy && load?.mayUpdate) this.#fence.requireRows(this.session, this.#emptiedCheck)
    await this.#endCopy()
    this.#begin(load?.guard)
    // Types may be altered while their values are copied: the lock of the table does not hold them.
    if (load?.typeGuard) this.session.prefixNext(failIfAltered(load.typeGuard))
    const place = await this.#fence.keep(this.session, checkpoint, this.#emptiedCheck, { withoutOwn: !load?.mayUpdate })
    await this.session.commit()
    if (this.#hasWritten) this.#emptiedCheck.see(place)
    this.#isBegun = false
  }

  /**
   * Removes all rows of a table, given as SQL, in a transaction that holds the table alone from its beginning. No partition that has begun can
   * commit from then on, and other jobs that append to the table notice it.
   */
  async truncate(table: string, { guard }: LoadStrategy, toleratesFailures: boolean): Promise<void> {
    await this.#fence.prepareEmptying(this.session)
    this.#emptiedCheck.forget()
    // With a weaker lock at first, two jobs that truncate would wait for each other.
    const lock = guard?.lock && `lock table ${table} in access exclusive mode`
    const alone = guard && { ...guard, lock }
    if (toleratesFailures) await this.#beginTolerant(alone)
    else this.#begin(alone)
    await this.#fence.empty(this.session)
    await this.session.query(`truncate ${table}`)
  }

  /** The batch of a row of the last COPY, and the index of the row in it. */
  placeOf(row: number): Pick<JobErrorOptions, 'recordIndex' | 'batchKey'> {
    const batch = this.#written.findLast(({ start }) => start <= row)
    if (!batch) return {}
    const { start, origins, key } = batch
    return { recordIndex: origins?.[row - start] ?? row - start, batchKey: key }
  }

  #countRows(): void {
    this.#written = []
    this.#rows = 0
  }

  #count({ length, origins }: RowGroup, key: string): void {
    this.#written.push({ start: this.#rows, key, origins })
    this.#rows += length
  }

  #begin(guard?: Guard): void {
    if (!this.#isBegun) this.#fence.begin(this.session, guard, this.#emptiedCheck)
    this.#isBegun = true
  }

  async #beginTolerant(guard: Guard | undefined): Promise<void> {
    if (this.#isBegun) return
    try {
      this.#fence.begin(this.session, guard, this.#emptiedCheck)
      // A constraint that is checked at the commit would fail the whole transaction.
      await this.session.query('set constraints all immediate')
    } catch (error) {
      await this.session.rollback()
      throw error
    }
    this.#isBegun = true
  }

  async #endCopy(): Promise<void> {
    const { load } = this.#copy ?? {}
    this.#copy = undefined
    if (load) await this.#end(load)
  }

  async #end(load: LoadStrategy): Promise<void> {
    if ((await load.end(this.session)) < this.#rows) this.#onRowsDropped()
  }
}
