import { jobKey } from '../base/index.js'
import { type ExecutionRecord, isEnded, type JobKey } from '../model/index.js'
import type { Runtime } from '../runtime/index.js'
import { allLive, findEnded, type JobStorage } from '../storage/index.js'
import type { Partitions } from './partitions.js'

/** What a runner does with partitions. */
export interface PartitionRunner {
  /** Queues a partition for any registry, unless it is queued or running. */
  startPartition(partition: JobKey, params: ExecutionRecord['params']): Promise<void>
  /** Adds queued executions to the queue again. */
  requeue(records: readonly ExecutionRecord[]): Promise<void>
  /** Runs a partition in this process. */
  runPartition(record: ExecutionRecord): Promise<void>
  /** Requests an abort of a job. */
  askToStop(job: JobKey): Promise<unknown>
}

/** Notifies parents of changes to their partitions. */
export class PartitionEvents {
  readonly #listeners = new Map<string, () => void>()

  constructor({ events }: Runtime) {
    events.on('changed', (record) => {
      if (isEnded(record.state)) this.#emit(record)
    })
    events.on('storageChange', (change) => {
      if (change.state === 'aborting' || isEnded(change.state)) this.#emit(change)
    })
  }

  /** Calls `listener` when a partition of a job may have changed. Returns a function that removes it. */
  on(parent: JobKey, listener: () => void): () => void {
    const key = jobKey(parent)
    this.#listeners.set(key, listener)
    return () => void this.#listeners.delete(key)
  }

  /** Notifies the parent if the changed execution is a partition. */
  #emit({ type, id, partition }: JobKey): void {
    if (partition !== undefined) this.#listeners.get(jobKey({ type, id }))?.()
  }
}

/** The partitions of an execution or, for a partition, its siblings and its parent. */
export class PartitionHandle implements Partitions {
  readonly #parent: JobKey
  readonly #params: ExecutionRecord['params']
  readonly #storage: JobStorage
  readonly #events: PartitionEvents
  readonly #runner: PartitionRunner
  #parentId: string | undefined

  constructor(
    { type, id, params }: ExecutionRecord,
    storage: JobStorage,
    events: PartitionEvents,
    runner: PartitionRunner,
  ) {
    this.#parent = { type, id }
    this.#params = params
    this.#storage = storage
    this.#events = events
    this.#runner = runner
  }

  onChange(listener: () => void): () => void {
    return this.#events.on(this.#parent, listener)
  }

  find(n: number): Promise<ExecutionRecord | undefined> {
    const { type, id } = this.#parent
    return this.#storage.find(type, id, n)
  }

  async live(): Promise<number[]> {
    const all = await allLive(this.#storage, { ...this.#parent, includePartitions: true })
    return all.flatMap(({ partition }) => partition ?? [])
  }

  findEnded(record: ExecutionRecord): Promise<ExecutionRecord | undefined> {
    return findEnded(this.#storage, record)
  }

  start(n: number): Promise<void> {
    return this.#runner.startPartition({ ...this.#parent, partition: n }, this.#params)
  }

  enqueue(record: ExecutionRecord): Promise<void> {
    return this.#runner.requeue([record])
  }

  run(record: ExecutionRecord): Promise<void> {
    return this.#runner.runPartition(record)
  }

  async abort(n: number): Promise<void> {
    await this.#runner.askToStop({ ...this.#parent, partition: n })
  }

  async parent(): Promise<ExecutionRecord | undefined> {
    const { type, id } = this.#parent
    const parent = await this.#storage.find(type, id)
    this.#parentId = parent?.executionId ?? this.#parentId
    return parent
  }

  get parentId(): string | undefined {
    return this.#parentId
  }
}
