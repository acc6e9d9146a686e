import { setTimeout } from 'node:timers/promises'
import { createPostgresBackend, Queue } from 'bullmq'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test, vi } from 'vitest'
import { isRedisThere, type OwnRedis, startRedis } from '../support/own-redis.js'
import { type FreshDatabase, freshDatabase } from '../support/postgres.js'
import type { Engine } from './dispatch-plan.js'
import { Sharers } from './sharers.js'

/** How long a lease holds, in milliseconds: short, as every crash is noticed after one. */
const lease = 1000

/** How many processes are killed in a run, and how many jobs there are meanwhile. */
const [kills, count] = [6, 60]

/** So many jobs, by their ids. */
const jobsOf = (length: number) => Array.from({ length }, (_, index) => `job-${index}`)

/** What a line that processes share keeps to, whatever engine holds it. */
export function dispatchCases(kind: Engine['kind']): void {
  const postgresUrl = inject('postgresUrl') ?? ''
  const isThere = postgresUrl !== '' && (kind === 'postgres' || isRedisThere())
  describe.skipIf(!isThere)(`a line on ${kind} that processes share`, () => cases(kind, postgresUrl))
}

function cases(kind: Engine['kind'], postgresUrl: string): void {
  let database: FreshDatabase
  let redis: OwnRedis
  let sharers: Sharers | undefined

  beforeAll(async () => {
    if (kind === 'redis') redis = await startRedis()
  })
  beforeEach(async () => {
    database = await freshDatabase(postgresUrl)
  })
  afterEach(async () => {
    await sharers?.close()
    sharers = undefined
    await database.drop()
  })
  afterAll(() => redis?.stop())

  async function newEngine(): Promise<Engine> {
    if (kind === 'redis') return { kind, url: redis.url }
    const connection = { connectionString: database.url, migrate: true }
    const queue = new Queue('headgate', { connection: connection as never }, createPostgresBackend)
    await queue.waitUntilReady()
    await queue.close()
    return { kind, connectionString: database.url }
  }

  async function open(count: number, concurrency: number): Promise<Sharers> {
    const engine = await newEngine()
    sharers = await Sharers.open({ url: database.url, engine, jobs: jobsOf(count), concurrency, lease }, 3)
    return sharers
  }

  test(`ends each of ${count} jobs once while its processes are killed at random moments`, async () => {
    const sharers = await open(count, 4)
    const started = sharers.start(jobsOf(count))
    // A busy machine makes new processes slowly: all jobs may have ended before the last kill.
    let killed = 0
    for (; killed < kills && (await sharers.successes()) < count; killed++) {
      await sharers.replaceOne()
      await setTimeout(Math.random() * 300)
    }
    expect(killed).toBeGreaterThan(kills / 3)
    await started
    await sharers.untilSuccessful(count, 60_000)
    expect(await sharers.faults()).toEqual([])
  }, 120_000)

  describe.skipIf(kind !== 'redis')('on a Redis that loses all that it has', () => {
    const losses: Record<string, () => Promise<unknown>> = {
      flushed: async () => {
        const client = new Redis(redis.url)
        await client.flushall()
        await client.quit()
      },
      'killed and started anew': () => redis.restart(),
    }

    test.each(Object.keys(losses))(
      'as it is %s, runs every job that was accepted',
      async (loss) => {
        const sharers = await open(36, 4)
        await sharers.start(jobsOf(36))
        expect(await sharers.successes()).toBeLessThan(12)
        await losses[loss]?.()
        await sharers.untilSuccessful(36, 40_000)
        expect(await sharers.faults()).toEqual([])
      },
      60_000,
    )
  })

  test('starts a job once at each time of its schedule while a process is killed at every one', async () => {
    const every = 3000
    const engine = await newEngine()
    sharers = await Sharers.open({ url: database.url, engine, jobs: [], concurrency: 4, lease, every }, 3)
    const first = (Math.floor(Date.now() / every) + 1) * every
    const times = Array.from({ length: 4 }, (_, index) => first + index * every)
    for (const time of times) {
      // From shortly before to shortly after the work is done.
      await setTimeout(time - Date.now() - 50 + Math.random() * 250)
      await sharers.replaceOne()
    }
    await setTimeout((times.at(-1) ?? 0) + every - 200 - Date.now())
    await vi.waitFor(async () => {
      const ticks = await sharers?.ticks()
      for (const time of times) expect(ticks?.get(time)?.join(' '), `at ${time}`).toMatch(/^(orphaned )*successful$/)
    })
    const begun = [...(await sharers.ticks()).keys()].filter((time) => time >= first)
    // A slow machine looks later, when the schedule has gone on: no time was left out, and none was added in between.
    expect(begun).toEqual(begun.map((_, index) => first + index * every))
  }, 60_000)

  test('gets from storage what a process had no time to put in it', async () => {
    const sharers = await open(1, 1)
    const dying = await sharers.add({ diesInLine: true })
    dying.send(jobsOf(1))
    await sharers.untilSuccessful(1, 20_000)
    expect(sharers.accepted.size).toBe(0)
    expect(dying.signalCode).toBe('SIGKILL')
    expect(await sharers.faults()).toEqual([])
  }, 30_000)
}
