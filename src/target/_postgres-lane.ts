import type { Fence } from './_postgres-fence.js'
import type { Load } from './_postgres-load.js'
import type { Part } from './_postgres-rows.js'
import { inSavepoint } from './_postgres-savepoint.js'
import type { Session } from './_postgres-session.js'

/** A connection that records are copied on, with the transaction and the COPY that are under way there. */
export class Lane {
  readonly session: Session
  readonly #fence: Fence
  #isBegun = false
  /** The COPY that is under way: how it got there, and its format and columns. */
  #copy: { readonly load: Load; readonly layout: string } | undefined
  /** What the COPY that came last has of each batch: how many of its rows came before, and where the rows are in the batch. */
  #written: { readonly start: number; readonly origins: Part['origins'] }[] = []
  #rows = 0

  constructor(session: Session, fence: Fence) {
    this.session = session
    this.#fence = fence
  }

  /** Takes a batch: goes on with the COPY to its columns, or begins one. */
  async write(parts: readonly Part[], load: Load): Promise<void> {
    this.#begin(load)
    for (const part of parts) {
      const layout = [part.isBinary, part.isMarked, ...part.names].join('\0')
      if (this.#copy?.layout !== layout) {
        await this.#endCopy()
        this.#countRows()
        await load.start(this.session, part)
        this.#copy = { load, layout }
      }
      this.#count(part)
      for (const piece of part.pieces()) await this.session.writeCopy(piece)
    }
  }

  /** Writes a batch, or nothing of it. Encodes it first: what cannot be encoded is refused before anything is sent. */
  async writeWhole(parts: readonly Part[], load: Load): Promise<void> {
    const encoded = parts.map((part) => ({ part, pieces: [...part.pieces()] }))
    await this.#beginTolerant(load)
    await inSavepoint(this.session, load, async () => {
      for (const { part, pieces } of encoded) {
        this.#countRows()
        this.#count(part)
        await load.start(this.session, part)
        for (const piece of pieces) await this.session.writeCopy(piece)
        await load.end(this.session)
        await load.clear(this.session)
      }
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
    const { start, origins } = this.#written.findLast(({ start }) => start <= row) ?? { start: 0 }
    return origins?.[row - start] ?? row - start
  }

  #countRows(): void {
    this.#written = []
    this.#rows = 0
  }

  #count({ length, origins }: Part): void {
    this.#written.push({ start: this.#rows, origins })
    this.#rows += length
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
