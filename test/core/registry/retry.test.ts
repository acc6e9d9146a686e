import { type Job, type JobContext, JobError, JobRegistry, memoryStorage, type RetryPolicy } from 'headgate'
import { fakeClock, recordEvents } from 'headgate/testing'
import { describe, expect, onTestFinished, test, vi } from 'vitest'

const transient = () => Object.assign(new Error('away'), { code: 'ECONNREFUSED' })

/** A registry with one job, which runs what `tries` say, one after the other. */
function open(tries: ((context: JobContext) => unknown)[], more: Partial<Job> = { resume: 'auto' }) {
  const clock = fakeClock()
  const logger = { debug: vi.fn(), info: vi.fn(), warn: vi.fn(), error: vi.fn() }
  const registry = new JobRegistry({ storage: memoryStorage({ clock }), clock, logger })
  onTestFinished(() => registry.close())
  const run = vi.fn((context: JobContext) => tries[Math.min(run.mock.calls.length, tries.length) - 1]?.(context))
  registry.define({ type: 'test', id: 'a', run, ...more })
  return { clock, logger, registry, run, events: recordEvents(registry) }
}

const fail = () => {
  throw transient()
}

function waitAsLongAsMayBe(): void {
  const random = vi.spyOn(Math, 'random').mockReturnValue(1)
  onTestFinished(() => random.mockRestore())
}

/** More than all waits of a job with the default policy. */
const long = 120_000

describe('a job that fails for a moment', () => {
  test('is tried again, by the same execution', async () => {
    const { registry, clock, run, events, logger } = open([fail, fail, () => 'done'])
    const { finished, executionId } = await registry.start('test', 'a')
    await clock.advance(long)
    expect(await finished).toMatchObject({ state: 'successful', executionId })
    expect(run).toHaveBeenCalledTimes(3)
    expect(events.states('test', 'a')).toEqual(['running', 'successful'])
    expect(logger.warn).toHaveBeenCalledTimes(2)
  })

  test('goes on from where the try before had come', async () => {
    const seen: unknown[] = []
    const { registry, clock } = open([
      ({ progress, checkpoint, status }) => {
        seen.push([checkpoint, status.count])
        progress({ count: 7, checkpoint: { at: 7 } })
        fail()
      },
      ({ checkpoint, status }) => seen.push([checkpoint, status.count]),
    ])
    const { finished } = await registry.start('test', 'a')
    await clock.advance(long)
    expect(await finished).toMatchObject({ state: 'successful', count: 7 })
    expect(seen).toEqual([
      [undefined, 0],
      [{ at: 7 }, 7],
    ])
  })

  test('fails in the end, with its last error', async () => {
    const { registry, clock, run } = open([fail])
    const { finished } = await registry.start('test', 'a')
    await clock.advance(long)
    expect(await finished).toMatchObject({ state: 'error', error: ['away'] })
    expect(run).toHaveBeenCalledTimes(6)
  })

  test('has its tries counted anew whenever it has come on', async () => {
    let count = 0
    const comeOn = ({ progress }: JobContext) => {
      progress({ count: ++count })
      fail()
    }
    const { registry, clock, run } = open([...Array.from({ length: 20 }, () => comeOn), () => 'done'])
    const { finished } = await registry.start('test', 'a')
    await clock.advance(long)
    expect(await finished).toMatchObject({ state: 'successful', count: 20 })
    expect(run).toHaveBeenCalledTimes(21)
  })

  test('waits longer every time, up to a limit, and never as long as others', async () => {
    waitAsLongAsMayBe()
    const times: number[] = []
    const retry = { limit: 5, delay: 100, maxDelay: 500 }
    const { registry, clock } = open([() => { times.push(clock.now()); fail() }], { retry }) // biome-ignore format: one line
    const { finished } = await registry.start('test', 'a')
    await clock.advance(long)
    await finished
    expect(times.slice(1).map((time, index) => time - (times[index] ?? 0))).toEqual([100, 200, 400, 500, 500])
  })

  test('does not wait out an abort', async () => {
    const { registry, run } = open([fail])
    await registry.start('test', 'a')
    expect(await registry.abort('test', 'a')).toMatchObject({ state: 'aborted' })
    expect(run).toHaveBeenCalledTimes(1)
  })

  test('keeps its lease while it waits', async () => {
    waitAsLongAsMayBe()
    const retry = { limit: 1, delay: 3_600_000, maxDelay: 3_600_000 }
    const { registry, clock } = open([fail, () => 'done'], { retry })
    const { finished } = await registry.start('test', 'a')
    await clock.advance(3_000_000)
    expect(await registry.status('test', 'a')).toMatchObject({ state: 'running' })
    await clock.advance(700_000)
    expect(await finished).toMatchObject({ state: 'successful' })
  })
})

describe('a job is not tried again', () => {
  test.each<[string, Partial<Job>]>([
    ['when nothing is said', {}],
    ['with resume manual', { resume: 'manual' }],
    ['with resume restart', { resume: 'restart' }],
    ['with a limit of 0', { resume: 'auto', retry: { limit: 0 } }],
    ['when its own test says that the error stays', { resume: 'auto', retry: { isTransient: () => false } }],
    ['when its own test throws', { resume: 'auto', retry: { isTransient: fail } }],
  ])('%s', async (_, more) => {
    const { registry, run } = open([fail], more)
    const { finished } = await registry.start('test', 'a')
    expect(await finished).toMatchObject({ state: 'error' })
    expect(run).toHaveBeenCalledTimes(1)
  })

  test('after an error that stays', async () => {
    const { registry } = open([() => { throw new Error('broken') }]) // biome-ignore format: one line
    expect(await (await registry.start('test', 'a')).finished).toMatchObject({ state: 'error', error: ['broken'] })
  })
})

test('with a test of its own, a job is tried again after what it says', async () => {
  const retry: RetryPolicy = { limit: 1, isTransient: (error) => (error as Error).message === 'broken' }
  const { registry, clock } = open([() => { throw new Error('broken') }, () => 'done'], { retry }) // biome-ignore format: one line
  const { finished } = await registry.start('test', 'a')
  await clock.advance(long)
  expect(await finished).toMatchObject({ state: 'successful' })
})

test('with resume restart, every start begins anew', async () => {
  const seen: unknown[] = []
  const { registry } = open([({ progress, checkpoint }) => { seen.push(checkpoint); progress({ checkpoint: 1 }) }], { resume: 'restart' }) // biome-ignore format: one line
  for (let round = 0; round < 2; round++) await (await registry.start('test', 'a')).finished
  expect(seen).toEqual([undefined, undefined])
})

test.each([
  [{ resume: 'always' }, 'Expected `resume` to be one of `auto`, `manual`, `restart`, got `always` (string)'],
  [{ retry: 3 }, 'Expected `retry` to be an object, got `3` (number)'],
  [{ retry: { limit: -1 } }, 'Expected `retry.limit` to be a whole number from 0 up, got `-1` (number)'],
  [
    { retry: { times: 3 } },
    'Expected `retry` to be an object with `limit`, `delay`, `maxDelay`, `isTransient`, got `times`',
  ],
  [{ retry: { isTransient: true } }, 'Expected `retry.isTransient` to be a function'],
])('refuses %o', (more, message) => {
  expect(() => open([], more as Partial<Job>)).toThrow(message)
  expect(() => open([], more as Partial<Job>)).toThrow(JobError)
})
