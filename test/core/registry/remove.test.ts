import { mkdtempSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type EndedStatus,
  type JobContext,
  JobRegistry,
  type JobRegistryOptions,
  type JobStorage,
  memoryStorage,
} from 'headgate'
import { postgresStorage } from 'headgate/postgres'
import { sqliteStorage } from 'headgate/sqlite'
import { collectingTarget, type FakeClock, fakeClock, heldJob, testDatasource } from 'headgate/testing'
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { sharedLine } from '../../support/shared-line.js'

const minute = 60_000
const everyMinute = { cron: '* * * * *' }
const a = { type: 'test', id: 'a' }

/** Longer than a lease and the poll for orphans that follows it. */
const lost = 45_000

let clock: FakeClock
let storage: JobStorage

beforeEach(() => {
  clock = fakeClock(Date.UTC(2026, 0, 1, 0, 0, 30))
  storage = memoryStorage({ clock })
})

/** A process on the storage. */
function open(options: Partial<JobRegistryOptions> = {}): JobRegistry {
  const registry = new JobRegistry({ storage, clock, ...options })
  onTestFinished(() => registry.close({ timeout: 0 }))
  return registry
}

const stateOf = async (registry: JobRegistry) => (await registry.status('test', 'a'))?.state

describe('a removed job', () => {
  test('is defined no more, and keeps its log, its status and its pause', async () => {
    const registry = open()
    registry.define({ ...a, run: () => {}, schedule: everyMinute })
    const { executionId, finished } = await registry.start('test', 'a')
    await finished
    await registry.pause('test', 'a')
    expect([registry.remove('test', 'a'), registry.remove('test', 'a')]).toEqual([true, false])
    expect([registry.has('test', 'a'), registry.has('test')]).toEqual([false, false])
    expect(await registry.jobs()).toEqual([])
    const undefinedJob = { code: 'not_defined', message: 'No job [test/a] is defined.' }
    await expect(registry.start('test', 'a')).rejects.toMatchObject(undefinedJob)
    expect(() => registry.nextRun('test', 'a')).toThrow('No job [test/a] is defined.')
    expect(await registry.search({ type: 'test', id: 'a' })).toMatchObject({ total: 1, hits: [{ executionId }] })
    registry.define({ ...a, run: () => {} })
    await expect(registry.start('test', 'a')).rejects.toMatchObject({ code: 'paused' })
    expect(await registry.unpause('test', 'a')).toBe(true)
    expect(() => registry.remove('test', '')).toThrow('Expected `id` to be')
  })

  test.each(['running', 'queued'])('is refused while it is %s here', async (state) => {
    const registry = open({ concurrency: 1 })
    const [first, held] = [heldJob({ type: 'test', id: 'first' }), heldJob(a)]
    registry.define(first.job)
    registry.define(held.job)
    if (state === 'queued') await registry.start('test', 'first')
    const { finished } = await registry.start('test', 'a')
    expect(await stateOf(registry)).toBe(state)
    expect(() => registry.remove('test', 'a')).toThrow(
      expect.objectContaining({
        code: 'already_running',
        message:
          'Job [test/a] runs or is queued in this registry. Abort it, or wait for its end, before you remove it.',
      }),
    )
    await registry.abort('test', 'a')
    expect((await finished).state).toBe('aborted')
    expect(registry.remove('test', 'a')).toBe(true)
  })

  test('is refused while one of its partitions runs here', async () => {
    const line = sharedLine()
    const one = open({ node: 'one', dispatcher: line.dispatcher(), concurrency: 1 })
    const other = open({ node: 'other', dispatcher: line.dispatcher() })
    const datasource = testDatasource([{ id: 1 }, { id: 2 }], { hangAfter: 0 })
    for (const registry of [one, other]) {
      registry.define({ id: 'a', datasource, cursor: 'id', partitions: [2], query: 'x', target: collectingTarget() })
    }
    await one.start('ingestion', 'a')
    const live = async () => (await storage.live({ type: 'ingestion', includePartitions: true })).hits
    const isPart = expect.objectContaining({ partition: expect.anything(), node: 'other', state: 'running' })
    await vi.waitFor(async () => expect(await live()).toContainEqual(isPart))
    expect(() => other.remove('ingestion', 'a')).toThrow('runs or is queued in this registry')
    await one.abort('ingestion', 'a')
    expect(other.remove('ingestion', 'a')).toBe(true)
  })

  test('is not started by a schedule, while other processes that define it go on', async () => {
    const ran: string[] = []
    const [one, other] = [open({ node: 'one' }), open({ node: 'other' })]
    for (const [name, registry] of Object.entries({ one, other })) {
      registry.define({ ...a, run: () => void ran.push(name), schedule: everyMinute })
    }
    one.remove('test', 'a')
    await clock.advance(2 * minute)
    expect(ran).toEqual(['other', 'other'])
    other.remove('test', 'a')
    await clock.advance(2 * minute)
    expect(ran).toHaveLength(2)
  })

  test('does not start when it is removed before storage is asked', async () => {
    const registry = open({ dispatcher: sharedLine().dispatcher() })
    let check = () => {}
    const validate = () => new Promise<{ value: object }>((resolve) => (check = () => resolve({ value: {} })))
    const params = { '~standard': { version: 1, vendor: 'test', validate } } as const
    const run = vi.fn()
    registry.define({ ...a, run, params })
    const started = registry.start('test', 'a')
    await vi.waitFor(() => check())
    registry.remove('test', 'a')
    registry.define({ ...a, run })
    check()
    await expect(started).rejects.toMatchObject({ code: 'not_defined' })
    expect(await stateOf(registry)).toBeUndefined()
  })

  test('stays queued in a shared queue for another process, or for its next definition', async () => {
    const line = sharedLine()
    const one = open({ dispatcher: line.dispatcher(), concurrency: 1 })
    const other = open({ dispatcher: line.dispatcher() })
    const ran: string[] = []
    const busy = heldJob({ type: 'test', id: 'busy' })
    one.define(busy.job)
    one.define({ ...a, run: () => void ran.push('one') })
    await one.start('test', 'busy')
    await busy.running
    const queued = await one.start('test', 'a')
    expect(one.remove('test', 'a')).toBe(true)
    await clock.advance(lost)
    expect(await stateOf(one)).toBe('queued')
    other.define({ ...a, run: () => void ran.push('other') })
    expect((await queued.finished).state).toBe('successful')
    expect(ran).toEqual(['other'])
  })

  test('is resumed after a crash by another process, or by its next definition, and not here', async () => {
    const dead = open({ node: 'dead' })
    dead.define({ ...heldJob(a).job, resume: 'auto' })
    const registry = open({ node: 'alive' })
    const run = vi.fn()
    registry.define({ ...a, run, resume: 'auto' })
    registry.remove('test', 'a')
    await dead.start('test', 'a')
    await dead.close({ timeout: 0 })
    await clock.advance(lost)
    expect(run).not.toHaveBeenCalled()
    registry.define({ ...a, run, resume: 'auto' })
    await clock.advance(lost)
    expect(run).toHaveBeenCalledOnce()
  })

  test('has its end notified, also when it was removed at once', async () => {
    const ends: EndedStatus[] = []
    const registry = open({ onEnd: (status) => void ends.push(status) })
    const onEnd = (status: EndedStatus) => void ends.push(status)
    registry.define({ ...a, run: () => {}, onEnd })
    registry.on('status', ({ status }) => {
      if (status.state === 'successful') registry.remove('test', 'a')
    })
    await (await registry.start('test', 'a')).finished
    expect(registry.has('test', 'a')).toBe(false)
    await clock.advance(lost)
    expect(ends.map(({ state }) => state)).toEqual(['successful', 'successful'])
  })

  test('is not checked by ready any more, while other jobs with its target are', async () => {
    const registry = open()
    const [checked, common] = [vi.fn(async () => {}), vi.fn(async () => {})]
    const define = (id: string, check: () => Promise<void>) =>
      registry.define({ id, datasource: testDatasource([]), target: { ...collectingTarget(), check } })
    define('a', checked)
    define('b', common)
    registry.remove('ingestion', 'a')
    await registry.ready({ targets: true })
    expect([checked, common].map(({ mock }) => mock.calls.length)).toEqual([0, 1])
  })
})

describe('a job that is defined again', () => {
  test('follows its new schedule, also while the start of the old one waits', async () => {
    const warn = vi.fn()
    const registry = open({ logger: { debug: () => {}, info: () => {}, warn, error: warn } })
    const other = open()
    const held = heldJob(a)
    other.define(held.job)
    const ran: string[] = []
    registry.define({ ...a, run: () => void ran.push('old'), schedule: { ...everyMinute, ifRunning: 'runAfter' } })
    await other.start('test', 'a')
    await clock.advance(minute)
    registry.remove('test', 'a')
    registry.define({ ...a, run: () => void ran.push('new'), schedule: { cron: '5 * * * *', ifRunning: 'runAfter' } })
    expect(registry.nextRun('test', 'a')).toBe(Date.UTC(2026, 0, 1, 0, 5))
    await clock.advance(2 * minute)
    expect((await registry.health()).overdue).toBeUndefined()
    held.finish()
    await clock.advance(minute)
    expect(ran).toEqual([])
    await clock.advance(minute)
    expect(ran).toEqual(['new'])
    expect(warn).not.toHaveBeenCalled()
  })

  test('catches up by no schedule that was removed', async () => {
    const run = vi.fn()
    const first = open()
    first.define({ ...a, run, schedule: everyMinute })
    await clock.advance(minute)
    await first.close()
    await clock.advance(10 * minute)
    const registry = open()
    registry.define({ ...a, run, schedule: { ...everyMinute, ifMissed: 'catchUp' } })
    registry.remove('test', 'a')
    await clock.advance(10 * minute)
    expect(run).toHaveBeenCalledOnce()
  })
})

/** What holds in a storage. */
function keepsCheckpoints(storageOf: () => JobStorage): void {
  test('goes on from its checkpoint', async () => {
    await using registry = new JobRegistry({ storage: storageOf() })
    const seen: unknown[] = []
    const define = (checkpoint: number) =>
      registry.define({
        ...a,
        run: async (context: JobContext) => {
          seen.push(context.checkpoint)
          context.progress({ checkpoint })
          if (checkpoint < 3) throw new Error('not yet')
        },
      })
    for (const n of [1, 2, 3]) {
      define(n)
      await (await registry.start('test', 'a')).finished
      expect(registry.remove('test', 'a')).toBe(true)
    }
    expect(seen).toEqual([undefined, 1, 2])
    expect((await registry.search({ type: 'test', id: 'a' })).total).toBe(3)
    expect(await registry.status('test', 'a')).toMatchObject({ state: 'successful' })
  })
}

describe('a job that is defined again, in memory', () => keepsCheckpoints(() => memoryStorage()))

describe('a job that is defined again, in SQLite', () => {
  const folder = mkdtempSync(join(tmpdir(), 'headgate-'))
  afterEach(() => rm(folder, { recursive: true, force: true }))
  keepsCheckpoints(() => sqliteStorage({ path: join(folder, 'jobs.db') }))
})

describePostgres('a job that is defined again, in Postgres', (database) => {
  keepsCheckpoints(() => postgresStorage({ connectionString: database.url }))
})
