import { setTimeout } from 'node:timers/promises'
import { type IngestionJob, JobRegistry, type JobStorage, memoryStorage, type Target } from 'headgate'
import type { ExecutionRecord } from 'headgate/adapter'
import { iterableDatasource } from 'headgate/iterable'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { people } from '../people.js'
import { deferred, Gate } from './partitions-support.js'

type Json = Record<string, unknown>

/** A storage that is not told what a parent has counted, and whose clients can die. */
class Deaf {
  readonly storage: JobStorage = memoryStorage()
  /** The highest count of a parent that it is told. */
  upTo = Number.POSITIVE_INFINITY
  readonly #parents = new Set<string>()
  readonly #dead = new Set<string>()
  readonly #finish = this.storage.finish.bind(this.storage)

  constructor() {
    const { begin, renew } = this.storage
    this.storage.begin = async (request) => {
      const result = await begin.call(this.storage, request)
      if (request.partition === undefined) this.#parents.add(result.execution.executionId)
      return result
    }
    this.storage.renew = async (token, request) => {
      if (this.#dead.has(token.executionId)) return undefined
      const isLost = this.#parents.has(token.executionId) && (request.count ?? 0) > this.upTo
      return renew.call(this.storage, token, isLost ? { lease: request.lease } : request)
    }
    this.storage.finish = async (token, request) =>
      this.#dead.has(token.executionId) ? undefined : this.#finish(token, request)
  }

  /** Makes orphans of all live executions. Those who run them are told nothing, and can save nothing. */
  async kill(changed: (checkpoint: unknown) => unknown = (checkpoint) => checkpoint): Promise<void> {
    const { hits } = await this.storage.live({ type: 'ingestion', includePartitions: true })
    for (const record of hits) {
      this.#dead.add(record.executionId)
      const checkpoint = record.partition === undefined ? changed(record.checkpoint) : record.checkpoint
      await this.#finish(record, { state: 'error', isOrphaned: true, checkpoint } as never)
    }
    this.upTo = Number.POSITIVE_INFINITY
  }

  async executions(isPartition: boolean): Promise<ExecutionRecord[]> {
    const { hits } = await this.storage.search({ type: 'ingestion', includePartitions: true, size: 100 })
    return hits.filter(({ partition }) => (partition !== undefined) === isPartition)
  }
}

describe('the counts of an ingestion in parts whose process dies', () => {
  let deaf: Deaf
  let gate: Gate
  let last: number
  let registries: JobRegistry[]
  beforeEach(() => {
    deaf = new Deaf()
    gate = new Gate(() => false)
    last = 30
    registries = []
  })
  afterEach(async () => {
    gate.open()
    await Promise.all(registries.map((registry) => registry.close({ timeout: 1000 })))
  })

  const inRange = ({ from, until }: { from?: string; until?: string } = {}, after: unknown = 0) =>
    people(1, last)
      .filter(({ id }) => Number(id) > Number(after))
      .filter(({ id }) => Number(id) >= Number(from ?? 0) && Number(id) < Number(until ?? 99))
  const resuming = iterableDatasource(({ range, lastId }) => inRange(range, lastId), { resumes: true })
  const rereading = iterableDatasource(({ range }) => inRange(range))

  const start = (more: Partial<IngestionJob> = {}) => {
    const registry = new JobRegistry({ storage: deaf.storage, progressInterval: 0 })
    registries.push(registry)
    registry.define({
      ...{ id: 'people', datasource: resuming, pkField: 'id', partitions: [11, 21], batchSize: 3 },
      transform: gate.transform,
      target: () => undefined,
      ...more,
    })
    return registry.start('ingestion', 'people')
  }
  const run = async (more?: Partial<IngestionJob>) => (await start(more)).finished

  /** Waits until storage has these counts of the parts, all but one of which are done. */
  const saved = async (...counts: number[]) => {
    const isReached = async () => {
      const found = await Promise.all(counts.map((_, n) => deaf.storage.find('ingestion', 'people', n)))
      const done = found.filter((record) => record?.state === 'successful')
      return done.length === 2 && String(found.map((record) => record?.count)) === String(counts)
    }
    while (!(await isReached())) await setTimeout(5)
  }

  /** The sums of all executions: of the job, and of its parts. */
  const sums = async () => {
    const sumOf = (records: ExecutionRecord[]) => ({
      count: records.reduce((sum, { count }) => sum + count, 0),
      written: records.reduce((sum, { detail }) => sum + Number((detail as Json | undefined)?.written ?? 0), 0),
    })
    return [sumOf(await deaf.executions(false)), sumOf(await deaf.executions(true))]
  }
  const of = (count: number) => ({ count, written: count })

  it.each([0, 5, 10, 12])('add up to the records, where %i of 23 were reported', async (upTo) => {
    gate = new Gate((id) => id === 15)
    deaf.upTo = upTo
    await start()
    await saved(10, 3, 10)
    await deaf.kill()
    gate = new Gate(() => false)
    expect(await run()).toMatchObject({ state: 'successful', detail: { failed: 0, skipped: 0 } })
    expect(await sums()).toEqual([of(30), of(30)])
    expect(await run()).toMatchObject({ state: 'successful', count: 0 })
  })

  it('add up to the records, where one process after the other dies', async () => {
    for (const [id, ...counts] of [
      [12, 10, 0, 10],
      [15, 10, 3, 10],
      [20, 10, 6, 10],
    ] as const) {
      gate = new Gate((held) => held === id)
      deaf.upTo = 0
      await start()
      await saved(...counts)
      await deaf.kill()
    }
    gate = new Gate(() => false)
    expect(await run()).toMatchObject({ state: 'successful' })
    expect(await sums()).toEqual([of(30), of(30)])
  })

  it('do not count again what an earlier run of the parts has read', async () => {
    expect(await run()).toMatchObject({ count: 30 })
    last = 39
    gate = new Gate((id) => id === 35)
    deaf.upTo = 0
    await start()
    await saved(0, 0, 3)
    await deaf.kill()
    gate = new Gate(() => false)
    expect(await run()).toMatchObject({ state: 'successful', count: 9 })
    expect(await sums()).toEqual([of(39), of(39)])
  })

  it('are no less than the records, where each part reads everything again', async () => {
    gate = new Gate((id) => id === 15)
    deaf.upTo = 0
    await start({ datasource: rereading })
    await saved(10, 3, 10)
    await deaf.kill()
    gate = new Gate(() => false)
    expect(await run({ datasource: rereading })).toMatchObject({ state: 'successful' })
    const [parents] = await sums()
    expect(parents?.count).toBeGreaterThanOrEqual(30)
  })

  it('add up where the process dies after the target has the last checkpoint, and storage has not', async () => {
    const kept = new Map<number | undefined, Json>()
    const reached = deferred()
    const released = deferred()
    const target: Target = {
      kind: 'fake',
      capabilities: { writesPartitions: true },
      open: ({ partition }) => ({
        writer: {
          write() {},
          async flush(checkpoint) {
            kept.set(partition, JSON.parse(JSON.stringify(checkpoint)))
            if (partition !== undefined || (checkpoint as Json).scheme) return
            reached.resolve()
            await released.promise
          },
        },
        resume: { checkpoint: kept.get(partition) ?? null },
      }),
    }
    deaf.upTo = 5
    await start({ target })
    await reached.promise
    await deaf.kill()
    released.resolve()
    expect(await run({ target })).toMatchObject({ state: 'successful', lastId: '30' })
    expect(await sums()).toEqual([of(30), of(30)])
  })

  it('hold only what comes, where the checkpoint of an earlier version does not say what was counted', async () => {
    gate = new Gate((id) => id === 15)
    deaf.upTo = 10
    await start()
    await saved(10, 3, 10)
    await deaf.kill((checkpoint) => {
      const { fields: _, ...before } = checkpoint as Json & { scheme: Json }
      const { counted: __, ...scheme } = before.scheme
      return { ...before, scheme }
    })
    gate = new Gate(() => false)
    expect(await run()).toMatchObject({ state: 'successful', count: 7 })
  })
})
