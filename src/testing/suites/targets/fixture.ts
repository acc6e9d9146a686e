import {
  type Column,
  newExecutionId,
  type OpenTarget,
  RecordBatch,
  type TargetResumption,
  type TargetWriter,
} from '../../../adapter.js'
import { JobError, type JobRecord, type Target, type TargetContext } from '../../../index.js'

/** A record of the target suite. */
export type TargetRecord = {
  /** A whole number, from 1 up. */
  id: number
  /** Any text, or null. */
  text: string | null
  /** Any JSON value, or null. */
  nested: unknown
}

/** A fresh, empty target, and what the cases need around it. */
export interface TargetFixture {
  /** The target under test. Its records have the columns of a `TargetRecord`. */
  target: Target
  /** The records that readers of the target see, in the order in which they were written, or by `id` where there is no order. */
  read(): readonly TargetRecord[] | Promise<readonly TargetRecord[]>
  /** A record with that id that the target rejects. */
  refused?(id: number): JobRecord
  /** A batch that holds the records as encoded rows, in a format that the target accepts. */
  encoded?(records: readonly TargetRecord[]): RecordBatch | Promise<RecordBatch>
  /** A target of the same kind that cannot be written to, such as one without its table. */
  unusable?(): Target
  /** A target of the same kind that allows full refreshes, and that something keeps from doing one, such as a lack of rights. */
  unrefreshable?(): Target | Promise<Target>
  /** Empties the target behind the back of the job: its records are gone, and its checkpoints stay. */
  empty?(): void | Promise<void>
  /**
   * Drops what the target writes to, such as its table, so that `read` throws until it is there again. The target creates what is missing,
   * and its checkpoints stay.
   */
  drop?(): void | Promise<void>
  /** Breaks the connections of open writers, as the end of a server does. */
  disconnect?(): void | Promise<void>
  /** Closes everything after the case. */
  close?(): Promise<void>
}

/** Where a run of the target suite resumes: the checkpoint that a job would find in storage. */
export interface RunCheckpoint {
  readonly origin: string
  readonly sequence: number
  readonly position: unknown
}

const columns: readonly Column[] = [
  { name: 'id', type: 'integer', decode: Number },
  { name: 'text', type: 'text' },
  { name: 'nested', type: 'json', decode: JSON.parse },
]

/** A batch of raw rows, as a database driver gives them. */
export function rawBatch(records: readonly TargetRecord[]): RecordBatch {
  const jsonOf = (value: unknown) => (value === null ? null : JSON.stringify(value))
  return RecordBatch.fromRows(
    columns,
    records.map(({ id, text, nested }) => [String(id), text, jsonOf(nested)]),
  )
}

/** A batch of objects, as a transform makes them. */
export function objectBatch(records: readonly TargetRecord[]): RecordBatch {
  return RecordBatch.fromRecords([...records])
}

/** Records with the ids from `first` to `last`. */
export function recordsOf(first: number, last: number): TargetRecord[] {
  return Array.from({ length: last - first + 1 }, (_, index) => {
    const id = first + index
    return { id, text: `record ${id}`, nested: { id, list: [id] } }
  })
}

/** Five batches of four records, ids from 1 to 20. */
export const batches: readonly RecordBatch[] = [1, 5, 9, 13, 17].map((first) => rawBatch(recordsOf(first, first + 3)))

/** Whether a reason is the error or one of its causes. */
export function isCausedBy(error: unknown, reason: unknown): boolean {
  for (let link = error; link instanceof Error; link = link.cause) if (link === reason) return true
  return false
}

/** One execution over a target, driven step by step as a job drives it. A crash is a run that is left where it is. */
export class TargetRun {
  /** What the target knows of the run. */
  readonly context: TargetContext
  readonly writer: TargetWriter
  /** How the target said that the job resumes. */
  readonly resume: TargetResumption
  #checkpoint: RunCheckpoint
  static readonly #open = new Set<TargetRun>()

  private constructor(context: TargetContext, { writer, resume }: Required<OpenTarget>, checkpoint: RunCheckpoint) {
    this.context = context
    this.writer = writer
    this.resume = resume
    this.#checkpoint = checkpoint
    TargetRun.#open.add(this)
  }

  /** Lets the runs go that were left where they are: what the end of a process would do. */
  static async leaveAll(): Promise<void> {
    for (const run of TargetRun.#open) await run.abort()
  }

  /** Opens the target: at a checkpoint, or from the beginning; for another job or a partition, if given. */
  static async begin(
    target: Target,
    from?: RunCheckpoint,
    toleratesFailures = false,
    job: Pick<Partial<TargetContext>, 'id' | 'partition'> = {},
  ): Promise<TargetRun> {
    const { id = 'suite' } = job
    const executionId = newExecutionId(id, Date.now())
    const context = { type: 'ingestion', ...job, id, executionId, signal: new AbortController().signal }
    const position = from?.position
    const resumption = { position, isResumed: from !== undefined, isResumable: true }
    const { writer, resume = 'position' } = await target.open({ ...context, ...resumption, toleratesFailures })
    const beginning = { origin: executionId, sequence: 0, position: undefined }
    const kept = typeof resume === 'object' ? (resume.checkpoint as RunCheckpoint | null) : null
    return new TargetRun(context, { writer, resume }, kept ?? (resume === 'restart' || !from ? beginning : from))
  }

  /** Writes the batches that come after the checkpoint, and commits: what a job does that nothing stops. */
  static async complete(target: Target, batches: readonly RecordBatch[], from?: RunCheckpoint): Promise<void> {
    const run = await TargetRun.begin(target, from)
    for (const batch of batches.slice(run.#checkpoint.sequence)) await run.write(batch)
    await run.commit()
  }

  async write(batch: RecordBatch): Promise<void> {
    const { origin, sequence } = this.#checkpoint
    await this.writer.write(batch, { ...this.context, idempotencyKey: `${origin}:${sequence}:${batch.length}` })
    this.#checkpoint = { ...this.#checkpoint, sequence: sequence + 1 }
  }

  /** Makes all that was written durable. Gives the checkpoint as storage would give it back. */
  async checkpoint(): Promise<RunCheckpoint> {
    const reached = this.#checkpoint
    const position = (await this.writer.flush?.(reached)) ?? reached.position
    this.#checkpoint = { ...this.#checkpoint, position }
    return JSON.parse(JSON.stringify({ ...reached, position }))
  }

  async commit(): Promise<void> {
    await this.checkpoint()
    TargetRun.#open.delete(this)
    await this.writer.commit?.()
  }

  async abort(leaseLost = false): Promise<void> {
    const stopped = new RangeError('The run of the suite was stopped.')
    const lost = new JobError('lease_lost', 'The run of the suite has lost its lease.')
    TargetRun.#open.delete(this)
    await this.writer.abort?.({ reason: leaseLost ? lost : stopped, leaseLost })
  }
}
