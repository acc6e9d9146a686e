import { JobError, JobRegistry, type JobStatus, memoryStorage } from 'headgate'
import { redact } from 'headgate/adapter'
import { iterableDatasource } from 'headgate/iterable'
import { expect, onTestFinished, test, vi } from 'vitest'
import { stackOf } from '../../../src/core/base/index.js'
import { growthOf } from '../../support/linear.js'

function open() {
  const logger = { debug: vi.fn(), info: vi.fn(), warn: vi.fn(), error: vi.fn() }
  const registry = new JobRegistry({ storage: memoryStorage(), logger, redact: ['hunter22'] })
  onTestFinished(() => registry.close())
  return { registry, logger }
}

function failureIn(status: JobStatus | undefined) {
  return status?.state === 'error' ? status.failure : undefined
}

test('a failure has the stack of the innermost error of the application, without secrets', async () => {
  const { registry, logger } = open()
  const driver = Object.assign(new Error('refused'), {
    stack: 'Error: refused\n    at f (/a/node_modules/pg/b.js:1:2)',
  })
  registry.define({
    type: 'copy',
    id: 'a',
    run() {
      throw new Error('outer', { cause: new RangeError('hunter22\nsecond line', { cause: driver }) })
    },
  })
  const failure = failureIn(await (await registry.start('copy', 'a')).finished)
  expect(failure).toEqual({ isTransient: false, attempts: 1, stack: expect.any(String) })
  expect(failure?.stack).toMatch(/^RangeError: \*\*\*\n {4}at .*failure\.test\.ts:\d+:\d+\)?\n/)
  expect(failureIn(await registry.status('copy', 'a'))).toEqual(failure)
  // The entry of the log has the stacks of all causes already.
  expect(logger.error.mock.calls[0]?.[0]).not.toHaveProperty('failure')
})

test('a stack is bounded, and a thrown value without one has none', async () => {
  const { registry } = open()
  const frames = Array.from({ length: 1000 }, (_, n) => `    at f${n} (/app/${'x'.repeat(300)}.js:${n}:1)`)
  const long = Object.assign(new Error('long'), { stack: `Error: long\n${frames.join('\n')}` })
  for (const [id, thrown] of Object.entries({ long, text: 'no', odd: { stack: 5, message: 'x' } })) {
    const run = () => {
      throw thrown
    }
    registry.define({ type: 'copy', id, run })
    const failure = failureIn(await (await registry.start('copy', id)).finished)
    expect(failure?.stack?.length ?? 0).toBeLessThanOrEqual(4000)
    expect(failure?.stack === undefined).toBe(id !== 'long')
  }
})

test('a stack is found in time that grows with its length', () => {
  const redactor = { shorten: (text: string) => redact(text.slice(0, 100)) }
  const growth = growthOf(
    (length) => {
      const error = Object.assign(new Error('x'), { stack: `Error: ${'\n '.repeat(length / 2)}x` })
      return () => stackOf(error, redactor, 4000)
    },
    { length: 100_000 },
  )
  expect(growth).toBeLessThan(4)
})

test('a failure tells the attempts before it, and whether the job takes its error for transient', async () => {
  const { registry } = open()
  let attempt = 0
  registry.define({
    type: 'copy',
    id: 'a',
    retry: { limit: 2, delay: 0, isTransient: (error) => String(error).includes('again') },
    run() {
      throw new Error(`again ${++attempt}`, { cause: new Error(`reason ${attempt}`) })
    },
  })
  const { finished } = await registry.start('copy', 'a')
  const failure = failureIn(await finished)
  const time = expect.any(Number)
  expect(failure).toMatchObject({
    isTransient: true,
    attempts: 3,
    retries: [
      { time, error: 'reason 1' },
      { time, error: 'reason 2' },
    ],
  })
})

test('of many records that failed, a failure names the one that its last message and its stack are about', async () => {
  const { registry } = open()
  registry.define({
    id: 'a',
    datasource: iterableDatasource(() => [{ id: 7 }, { id: 8 }]),
    pkField: 'id',
    transform({ id }) {
      throw new TypeError(`no price of ${id}`)
    },
    target: () => {},
    failures: { total: 1 },
  })
  const status = await (await registry.start('ingestion', 'a')).finished
  expect(status).toMatchObject({ error: expect.arrayContaining(['no price of 7']) })
  expect((status as { error: string[] }).error.at(-1)).toBe('no price of 8')
  const failure = failureIn(status)
  expect(failure).toMatchObject({ code: 'too_many_failures', place: 'Batch 0, record 2 of this run (id 8).' })
  expect(failure?.stack).toMatch(/^TypeError: no price of 8\n/)
})

test('a failure of an ingestion names the record, and the code of what failed', async () => {
  const { registry } = open()
  registry.define({
    id: 'a',
    datasource: iterableDatasource(() => [{ id: 7 }]),
    pkField: 'id',
    transform() {
      throw new TypeError('no price')
    },
    target: () => {},
  })
  const failure = failureIn(await (await registry.start('ingestion', 'a')).finished)
  expect(failure).toMatchObject({
    code: 'transform',
    isTransient: false,
    place: 'Batch 0, record 1 of this run (id 7).',
  })
  expect(failure?.stack).toMatch(/^TypeError: no price\n/)
  registry.define({
    type: 'copy',
    id: 'b',
    run() {
      throw new JobError('part', 'A partition failed.', { cause: new JobError('target', 'The disk is full.') })
    },
  })
  expect(failureIn(await (await registry.start('copy', 'b')).finished)).toMatchObject({ code: 'target' })
})
