import type { Job, JobContext } from './job.js'
import type { ExecutionRecord } from './storage.js'

/** What names a job, or a part of one. */
export type Name = Pick<ExecutionRecord, 'type' | 'id'>

/** What a running job can do about its parts. */
export interface Parts {
  /** Calls `listener` when a part may have changed its state, as far as that is heard of. Gives the function that takes it off. */
  onNews(listener: () => void): () => void
  /** The execution of a part, live or last. */
  find(n: number): Promise<ExecutionRecord | undefined>
  /** The numbers of the parts that live, by whatever they were cut. */
  live(): Promise<number[]>
  /** An execution of a part that came before the last one, ended. */
  findEnded(record: ExecutionRecord): Promise<ExecutionRecord | undefined>
  /** Lets a part wait for a slot of any registry, unless it waits or runs already. */
  start(n: number): Promise<void>
  /** Puts a part in line that waits, as the line may have gone with its process. */
  enqueue(record: ExecutionRecord): Promise<void>
  /** Does a part here, in the slot of the whole, if it waits or was left by its node. Resolves when it has ended here. */
  run(record: ExecutionRecord): Promise<void>
  /** Asks a part to stop, and does not wait for it. */
  abort(n: number): Promise<void>
  /** The execution of the whole: of a part, or of itself. */
  whole(): Promise<ExecutionRecord | undefined>
  /** The id of that, as it was last seen. */
  readonly wholeId: string | undefined
}

/** The name of a part. */
export function partOf({ type, id }: Name, n: number): Name {
  return { type: `_${type}`, id: `${id}#${n}` }
}

/** What a part is one of, and its number; `undefined` for what is no part. */
export function wholeOf({ type, id }: Name): (Name & { n: number }) | undefined {
  const [, whole, n] = /^(.*)#(\d+)$/s.exec(id) ?? []
  if (!isPart({ type }) || whole === undefined) return undefined
  return { type: type.slice(1), id: whole, n: Number(n) }
}

/** What an execution is shown as: itself, or the whole that it is a part of. */
export function shownAs(execution: Name): Name {
  const { type, id } = wholeOf(execution) ?? execution
  return { type, id }
}

const partMakers = new WeakMap<Job, (n: number) => Job>()

/** The same job, done in parts, each an execution of its own that any registry may take: `part` makes the job of one. */
export function inParts(job: Job, part: (n: number) => Omit<Job, 'type' | 'id'>): Job {
  partMakers.set(job, (n) => ({ ...part(n), ...partOf(job, n) }))
  return job
}

/** What makes the job of a part, of a job that is done in parts. */
export function partMakerOf(job: Job): ((n: number) => Job) | undefined {
  return partMakers.get(job)
}

/** Whether a type is one of parts, which nobody is shown. */
export function isPart({ type }: Pick<Name, 'type'>): boolean {
  return type.startsWith('_')
}

const parts = new WeakMap<JobContext, Parts>()

/** Gives a running job its parts. */
export function giveParts(context: JobContext, its: Parts): void {
  parts.set(context, its)
}

/** The parts of a running job. */
export function partsOf(context: JobContext): Parts {
  return parts.get(context) as Parts
}
