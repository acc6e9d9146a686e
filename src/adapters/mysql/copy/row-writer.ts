import { JobError, type JobErrorOptions } from '../../../adapter.js'
import { failure, isOfServer } from '../client/index.js'
import { InsertText, insertHead, type LineField, type LineGroup, loadStatement, tooLong } from '../lines/index.js'
import type { TableRef } from '../table/index.js'
import { lostTransaction, type WriteSession } from '../write/index.js'

/** The most bytes of one `load data`, which are kept until the server has taken them. */
const maxLoad = 1 << 22

/** The most bytes of one `insert`, unless one record has more. */
const maxInsert = 1 << 20

/** Where rows are written, and how. */
export interface RowPlan {
  /** The table, for messages. */
  readonly ref: TableRef
  /** The table that is written to, as SQL. */
  readonly sql: string
  /** What follows the values of an `insert` with these fields. */
  tail(fields: readonly LineField[]): string
}

/** A `load data` that is running, with what it was given. */
interface RunningLoad {
  readonly layout: string
  readonly groups: { readonly group: LineGroup; readonly key: string }[]
  rows: number
  bytes: number
}

/**
 * Writes lines in the open transaction: by `load data local infile` where the server takes it, else by `insert` with many rows. For such a
 * load, the server turns errors into warnings, and skips or changes rows. When it has not taken every row as it is, the rows are rolled back
 * and inserted, which fails for the record that is to blame. Where the `insert` updates rows, that happens at the first key that is known.
 */
export class RowWriter {
  readonly #session: WriteSession
  readonly #plan: RowPlan
  #loads: boolean
  #load: RunningLoad | undefined

  constructor(session: WriteSession, plan: RowPlan) {
    this.#session = session
    this.#plan = plan
    this.#loads = session.facts.takesFiles
  }

  /** Writes a group of a batch with that key. The server may refuse rows of it while later ones are written, or at `finish`. */
  async add(group: LineGroup, key: string): Promise<void> {
    const layout = group.fields.map(({ name }) => name).join('\0')
    if (this.#load && this.#load.layout !== layout) await this.finish()
    if (!this.#load && (!this.#loads || !(await this.#startLoad(group.fields, layout)))) return this.#insert(group, key)
    const load = this.#load as RunningLoad
    load.groups.push({ group, key })
    load.rows += group.length
    for (const piece of group.pieces) {
      load.bytes += piece.length
      await this.#send(piece)
    }
    if (load.bytes >= maxLoad) await this.finish()
  }

  /** Resolves when every row is in the table. */
  async finish(): Promise<void> {
    const load = this.#load
    if (!load) return
    this.#load = undefined
    if (await this.#isTaken(load)) return
    await this.#session.query('rollback to savepoint headgate_load')
    // Most likely, the table would do so again.
    this.#loads = false
    for (const { group, key } of load.groups) await this.#insert(group, key)
  }

  /** Forgets what was written since the last `finish`: the transaction was rolled back. */
  forget(): void {
    this.#load = undefined
    this.#session.clearFailedLoad()
  }

  /** Resolves with false when the server does not take files. */
  async #startLoad(fields: readonly LineField[], layout: string): Promise<boolean> {
    await this.#session.query('savepoint headgate_load')
    try {
      await this.#session.startLoad(loadStatement(this.#plan.sql, fields))
    } catch (error) {
      if (!isOfServer(error) || lostTransaction(error)) throw error
      this.#loads = false
      return false
    }
    this.#load = { layout, groups: [], rows: 0, bytes: 0 }
    return true
  }

  /** A statement that has failed already takes no more. `finish` finds out. */
  async #send(piece: Buffer): Promise<void> {
    try {
      await this.#session.writeLoad(piece)
    } catch (error) {
      if (!isOfServer(error)) throw error
    }
  }

  async #isTaken({ rows }: RunningLoad): Promise<boolean> {
    try {
      const { affected, warnings } = await this.#session.endLoad()
      return affected === rows && warnings === 0
    } catch (error) {
      this.#session.clearFailedLoad()
      if (!isOfServer(error) || lostTransaction(error)) throw error
      return false
    }
  }

  async #insert(group: LineGroup, key: string): Promise<void> {
    const { sql } = this.#plan
    const frame = { head: insertHead(sql, group.fields), tail: this.#plan.tail(group.fields) }
    const limit = Math.min(maxInsert, this.#session.facts.maxPacket >>> 2)
    const texts = new InsertText(group.fields, frame, limit)
    const run = async (start: number, end: number) => {
      for (const { text, first } of texts.statements(group, start, end)) await this.#run(text, first)
    }
    for (const { text, first, count } of texts.statements(group)) {
      try {
        await this.#run(text, first)
      } catch (error) {
        if (!isOfRecord(error)) throw error
        throw await this.#locate(run, first, first + count, error, (line) => placeOf(group, key, line))
      }
    }
  }

  /** Runs an `insert` completely or not at all. Throws when the server would store other values than it was given. */
  async #run(text: Buffer, line: number): Promise<void> {
    const { maxPacket } = this.#session.facts
    if (text.length > maxPacket - packetSpare) throw tooLong(maxPacket - packetSpare, line)
    await this.#session.query('savepoint headgate_insert')
    const { warnings } = await this.#session.run(text)
    if (warnings === 0) return
    const loss = await this.#lossOf()
    if (!loss) return
    await this.#session.query('rollback to savepoint headgate_insert')
    throw loss
  }

  /** What the server has changed in values, if anything. */
  async #lossOf(): Promise<JobError | undefined> {
    const found = await this.#session.query('show warnings')
    const loss = found.find(([, code]) => !harmless.has(String(code)))
    return (
      loss && new JobError('target', `The server would store another value than it was given: ${loss[2]} (${loss[1]}).`)
    )
  }

  /** The error of the first record that the server refuses, of the lines from `start` up to `end`, which it has refused together. */
  async #locate(
    run: (start: number, end: number) => Promise<void>,
    start: number,
    end: number,
    error: unknown,
    place: (line: number) => JobErrorOptions,
  ): Promise<JobError> {
    let [first, last, cause] = [start, end, error]
    while (last - first > 1) {
      const middle = (first + last) >>> 1
      try {
        await run(first, middle)
        first = middle
      } catch (refusal) {
        if (!isOfRecord(refusal)) throw refusal
        cause = refusal
        last = middle
      }
    }
    try {
      if (end - start > 1) await run(first, last)
      else return this.#failed(cause, place(first))
    } catch (refusal) {
      if (!isOfRecord(refusal)) throw refusal
      return this.#failed(refusal, place(first))
    }
    // It was taken alone: another transaction was in the way.
    return this.#failed(cause, {})
  }

  #failed(error: unknown, place: JobErrorOptions): JobError {
    if (JobError.isInstance(error)) return new JobError(error.code, error.message, { cause: error.cause, ...place })
    return failure('target', `Could not write to \`${this.#plan.ref.title}\``, error, place)
  }
}

/** How many bytes a packet has beside the text of a statement. */
const packetSpare = 64

/** Warnings that tell nothing of values: of words that will go, and of statements in the binary log. */
const harmless: ReadonlySet<string> = new Set(['1287', '1592', '1681', '3719', '3778', '4095'])

/** Whether a record is to blame. */
function isOfRecord(error: unknown): boolean {
  if (JobError.isInstance(error)) return error.code === 'target' && !error.isTransient
  return isOfServer(error) && !lostTransaction(error)
}

function placeOf({ origins }: LineGroup, batchKey: string, line: number): JobErrorOptions {
  return { recordIndex: origins?.[line] ?? line, batchKey }
}
