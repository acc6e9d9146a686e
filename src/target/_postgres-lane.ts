import type { RecordBatch } from '../index.js'
import type { Fence } from './_postgres-fence.js'
import type { Load } from './_postgres-load.js'
import type { Layout } from './_postgres-rows.js'
import { inSavepoint } from './_postgres-savepoint.js'
import type { Session } from './_postgres-session.js'

/** A connection that records are copied on, with the transaction and the COPY that are under way there. */
export class Lane {
  readonly session: Session
  readonly #fence: Fence
  #isBegun = false
  /** The COPY that is under way: how it got there, and its format and columns. */
  #copy: { readonly load: Load; readonly layout: string } | undefined
  /** The batches of the COPY that came last, by how many of its rows came before each. */
  #starts: number[] = []
  #rows = 0

  constructor(session: Session, fence: Fence) {
    this.session = session
    this.#fence = fence
  }

  /** Takes a batch: goes on with the COPY to its columns, or begins one. */
  async write(batch: RecordBatch, load: Load, { names, isBinary, pieces }: Layout): Promise<void> {
    this.#begin(load)
    const layout = [isBinary, ...names].join('\0')
    if (this.#copy?.layout !== layout) {
      await this.#endCopy()
      this.#countRows()
      await load.start(this.session, names, isBinary)
      this.#copy = { load, layout }
    }
    this.#starts.push(this.#rows)
    this.#rows += batch.length
    for (const piece of pieces(batch)) await this.session.writeCopy(piece)
  }

  /** Writes a batch, or nothing of it. Encodes it first: what cannot be encoded is refused before anything is sent. */
  async writeWhole(batch: RecordBatch, load: Load, { names, isBinary, pieces }: Layout): Promise<void> {
    const encoded = [...pieces(batch)]
    this.#countRows()
    await this.#beginTolerant(load)
    await inSavepoint(this.session, load, async () => {
      await load.start(this.session, names, isBinary)
      for (const piece of encoded) await this.session.writeCopy(piece)
      await load.end(this.session)
      await load.clear(this.session)
    })
  }

  /** Commits what was taken, together with the checkpoint. */
  async flush(checkpoint: unknown): Promise<void> {
    await this.#endCopy()
    await this.#fence.keep(this.session, checkpoint)
    if (this.#isBegun) await this.session.query('commit')
    this.#isBegun = false
  }

  /** The place in its batch of a row of the COPY that came last. */
  placeInBatch(row: number): number {
    return row - (this.#starts.findLast((start) => start <= row) ?? 0)
  }

  #countRows(): void {
    this.#starts = []
    this.#rows = 0
  }

  #begin({ guard }: Load): void {
    if (!this.#isBegun) this.#fence.begin(this.session, guard)
    this.#isBegun = true
  }

  async #beginTolerant({ guard }: Load): Promise<void> {
    if (this.#isBegun) return
    try {
      this.#fence.begin(this.session, guard)
      // What is checked at the commit only would fail all that is in it.
      await this.session.query('set constraints all immediate')
    } catch (error) {
      if (this.session.isSound) await this.session.query('rollback')
      throw error
    }
    this.#isBegun = true
  }

  async #endCopy(): Promise<void> {
    const { load } = this.#copy ?? {}
    this.#copy = undefined
    await load?.end(this.session)
  }
}
