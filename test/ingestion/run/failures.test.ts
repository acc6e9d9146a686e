import {
  type DeadLetter,
  type IngestionDetail,
  type IngestionJob,
  JobError,
  type JobRecord,
  JobRegistry,
  type JobStatus,
  memoryStorage,
  type Target,
} from 'headgate'
import type { RecordBatch, TargetWriter } from 'headgate/adapter'
import { iterableDatasource } from 'headgate/iterable'
import { collectingTarget, fakeClock, testDatasource } from 'headgate/testing'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { afterLastId, people, resumable } from '../people.js'

/** A function target that takes all of a batch, or nothing when one of those ids is in it. */
function pickyTarget(poison: readonly number[], { isNamed = false } = {}) {
  const taken: number[] = []
  const calls: number[][] = []
  const keys: string[] = []
  const write = (batch: RecordBatch, { idempotencyKey }: { idempotencyKey: string }) => {
    const ids = batch.records().map(({ id }) => Number(id))
    calls.push(ids)
    const index = ids.findIndex((id) => poison.includes(id))
    if (index >= 0) {
      const error = new RangeError(`${ids[index]} is not wanted, password=secret`)
      throw isNamed ? new JobError('target', 'Refused.', { cause: error, recordIndex: index }) : error
    }
    keys.push(idempotencyKey)
    taken.push(...ids)
  }
  return { taken, calls, keys, write }
}

/** A function target that keeps dead letters. */
function graveyard() {
  const letters: DeadLetter[] = []
  const write = (batch: RecordBatch<DeadLetter>) => {
    letters.push(...batch.records())
  }
  return { letters, write, ids: () => letters.map(({ record }) => record.id) }
}

function nestedBy(depth: number): unknown {
  let value: unknown = 1
  for (let level = 0; level < depth; level++) value = level % 2 ? [value] : { a: value }
  return value
}

/** Objects of which each has the next one twice. */
function sharedBy(depth: number): object {
  let value: object = {}
  for (let level = 0; level < depth; level++) value = { a: value, b: value }
  return value
}

const detailOf = (status: JobStatus | undefined) => (status && 'detail' in status ? status.detail : undefined)

describe('an ingestion with failures', () => {
  const clock = fakeClock()
  const warn = vi.fn()
  let registry: JobRegistry
  let storage: ReturnType<typeof memoryStorage>

  beforeEach(() => {
    warn.mockClear()
    storage = memoryStorage({ clock })
    const logger = { debug() {}, info() {}, warn, error() {} }
    registry = new JobRegistry({ storage, clock, progressInterval: 0, logger })
  })
  afterEach(() => registry.close())

  const start = (job: Omit<IngestionJob, 'id'>) => {
    registry.define({ id: 'people', ...job })
    return registry.start('ingestion', 'people')
  }
  const again = async () => (await registry.start('ingestion', 'people')).finished
  const run = async (job: Omit<IngestionJob, 'id'>) => (await start(job)).finished

  /** Hears every status, and holds that the counts add up in it. */
  function watchCounts() {
    const seen: IngestionDetail[] = []
    registry.on('status', ({ status }) => {
      const detail = detailOf(status) as IngestionDetail | undefined
      if (!detail) return
      const { read, written, failed, skipped } = detail
      expect([status.count, written + failed + skipped]).toEqual([read, read])
      seen.push(detail)
    })
    return seen
  }

  describe.each([
    ['the error names no record', { isNamed: false }],
    ['the error names the record', { isNamed: true }],
  ])('where %s', (_, naming) => {
    it.each([
      ['the first', [1]],
      ['the last', [10]],
      ['one in the middle', [5]],
      ['two neighbours', [5, 6]],
      ['the first and the last', [1, 10]],
      ['all', people(1, 10).map(({ id }) => Number(id))],
      ['the last of one batch and the first of the next', [10, 11]],
    ])('puts aside %s of a batch, and writes the others in order', async (_, poison) => {
      const target = pickyTarget(poison, naming)
      const dead = graveyard()
      const seen = watchCounts()
      const failures = { deadLetters: dead.write }
      const datasource = testDatasource(people(1, 25))
      const status = await run({ datasource, batchSize: 10, pkField: 'id', target: target.write, failures })
      const detail = { read: 25, written: 25 - poison.length, failed: poison.length, skipped: 0 }
      expect(status).toMatchObject({ state: 'successful', count: 25, lastId: '25', detail })
      expect(target.taken).toEqual(people(1, 25).flatMap(({ id }) => (poison.includes(Number(id)) ? [] : [id])))
      expect(dead.ids()).toEqual(poison)
      expect(seen.length).toBeGreaterThanOrEqual(3)
    })
  })

  it.each<[string, (index: number, length: number) => unknown]>([
    ['is negative', () => -1],
    ['is that of the record before', (index) => index - 1],
    ['is that of the record after', (index) => index + 1],
    ['is that of the batch before', (index) => index - 10],
    ['is beyond the batch', (_, length) => length],
    ['is far beyond it', () => 2 ** 40],
    ['is no whole number', (index) => index + 0.5],
    ['is NaN', () => Number.NaN],
    ['is infinite', () => Number.POSITIVE_INFINITY],
    ['is no number', () => ({})],
    ['is always 0', () => 0],
  ])('puts the right record aside where the `recordIndex` of an error %s', async (_, indexOf) => {
    const dead = graveyard()
    const taken: number[] = []
    const target = (batch: RecordBatch) => {
      const ids = batch.records().map(({ id }) => Number(id))
      const index = ids.findIndex((id) => [1, 15, 16, 30].includes(id))
      if (index >= 0) throw Object.assign(new Error('Refused.'), { recordIndex: indexOf(index, ids.length) })
      taken.push(...ids)
    }
    const failures = { deadLetters: dead.write }
    const status = await run({ datasource: testDatasource(people(1, 30)), batchSize: 10, target, failures })
    expect(status).toMatchObject({ state: 'successful', detail: { read: 30, written: 26, failed: 4 } })
    expect(dead.ids()).toEqual([1, 15, 16, 30])
    expect(taken).toHaveLength(26)
  })

  it.each<[string, () => unknown, unknown]>([
    ['an invalid date', () => new Date('nonsense'), 'Invalid Date'],
    ['a big integer', () => [2n ** 70n], [String(2n ** 70n)]],
    ['infinity', () => ({ a: Number.NEGATIVE_INFINITY }), { a: '-Infinity' }],
    ['undefined', () => undefined, undefined],
    ['a function', () => function named() {}, '[Function: named]'],
    ['a symbol', () => Symbol('s'), 'Symbol(s)'],
    ['a toJSON that throws', () => ({ toJSON() { throw new Error('no JSON') } }), 'Unreadable: no JSON'], // biome-ignore format: one line
    ['a toJSON that throws what cannot be read', () => ({ toJSON() { throw Object.create(null) } }), expect.stringContaining('Unreadable')], // biome-ignore format: one line
    ['a getter that throws', () => ({ get a() { throw new Error('no value') } }), 'Unreadable: no value'], // biome-ignore format: one line
    ['a proxy that was revoked', () => { const { proxy, revoke } = Proxy.revocable({}, {}); revoke(); return proxy }, expect.stringContaining('Unreadable')], // biome-ignore format: one line
    ['a zero in a text', () => 'a\0b', 'a\\u0000b'],
    ['half a character', () => ['\ud83d', '\ude00', '😀'], ['\\ud83d', '\\ude00', '😀']],
    ['a zero in a name', () => ({ 'a\0': { 'b\ud800': 1 } }), { 'a\\u0000': { 'b\\ud800': 1 } }],
    ['a deep nesting', () => nestedBy(20_000), expect.anything()],
    ['objects that share others 2^60 times', () => sharedBy(60), expect.stringContaining('more than 1000000 members')],
  ])('keeps what can be kept of %s', async (_, make, kept) => {
    const dead = graveyard()
    const { write } = pickyTarget([1])
    const datasource = iterableDatasource([{ id: 1, odd: make(), name: 'kept' }])
    const status = await run({ datasource, target: write, failures: { deadLetters: dead.write } })
    expect(status).toMatchObject({ state: 'successful', detail: { failed: 1 } })
    expect(dead.letters[0]?.record).toEqual({ id: 1, odd: kept, name: 'kept' })
  })

  it('writes a batch with one bad record of 1,000 in few tries: two per halving, or four when it is named', async () => {
    for (const [isNamed, most] of [
      [false, 21],
      [true, 4],
    ] as const) {
      const target = pickyTarget([777], { isNamed })
      registry.define({
        id: `one-${isNamed}`,
        datasource: testDatasource(people(1, 1000)),
        target: target.write,
        failures: { total: 1 },
      })
      await (await registry.start('ingestion', `one-${isNamed}`)).finished
      expect(target.calls.length).toBeLessThanOrEqual(most)
      expect(target.taken).toHaveLength(999)
    }
  })

  it('gives every part of a batch a key of its own, the same when it comes again', async () => {
    const keys: string[][] = []
    for (const id of ['a', 'b']) {
      const target = pickyTarget([3])
      const datasource = testDatasource(people(1, 8))
      registry.define({ id, datasource, cursor: 'id', target: target.write, failures: { total: 1 } })
      const { executionId, finished } = await registry.start('ingestion', id)
      await finished
      keys.push(target.keys.map((key) => key.replace(executionId, '')))
      expect(new Set(target.keys).size).toBe(target.keys.length)
    }
    expect(keys[0]).toEqual(keys[1])
  })

  it('says in a dead letter what failed, when, and why, without secrets', async () => {
    const when = new Date(Date.UTC(2024, 0, 2))
    const record = {
      id: 7,
      at: when,
      big: 2n ** 70n,
      bytes: new Uint8Array([104, 105]),
      none: undefined,
      odd: Number.NaN,
    }
    const dead = graveyard()
    const { write } = pickyTarget([7])
    const { executionId, finished } = await start({
      datasource: testDatasource([record]),
      target: write,
      failures: { deadLetters: dead.write },
    })
    expect(await finished).toMatchObject({ state: 'successful' })
    expect(dead.letters).toEqual([
      {
        type: 'ingestion',
        id: 'people',
        executionId,
        key: expect.stringMatching(`^${executionId}:0:[-0-9a-f]{36}:0$`),
        time: new Date(clock.now()).toISOString(),
        phase: 'target',
        error: ['Could not write to target [function].', '7 is not wanted, password=***'],
        record: { id: 7, at: when.toISOString(), big: String(2n ** 70n), bytes: '\\x6869', odd: 'NaN' },
      },
    ])
  })

  it('puts a record aside that cannot be read whole', async () => {
    const cycle: JobRecord = { id: 1 }
    cycle.self = cycle
    const dead = graveyard()
    const { write } = pickyTarget([1])
    const status = await run({
      datasource: testDatasource([cycle]),
      target: write,
      failures: { deadLetters: dead.write },
    })
    expect(status).toMatchObject({ state: 'successful', detail: { failed: 1 } })
    expect(dead.letters[0]?.record).toMatchObject({ id: 1, self: expect.stringContaining('circular') })
  })

  describe('of a transform', () => {
    it('puts the records aside that it throws for, and writes the rest at once', async () => {
      const target = pickyTarget([])
      const dead = graveyard()
      const transform = async ({ id, name }: JobRecord) => {
        if (Number(id) % 4 === 1) throw new RangeError(`cannot read ${id}`)
        return id === 2
          ? null
          : [
              { id, name, half: 1 },
              { id, name, half: 2 },
            ]
      }
      const failures = { deadLetters: dead.write }
      const status = await run({ datasource: testDatasource(people(1, 9)), transform, target: target.write, failures })
      expect(status).toMatchObject({ state: 'successful', detail: { read: 9, written: 5, failed: 3, skipped: 1 } })
      expect(target.calls).toEqual([[3, 3, 4, 4, 6, 6, 7, 7, 8, 8]])
      expect(dead.ids()).toEqual([1, 5, 9])
      expect(dead.letters[0]).toMatchObject({
        phase: 'transform',
        error: ['The transform failed.', 'cannot read 1'],
        record: { id: 1, name: 'person 1' },
      })
    })

    it('finds the record that was read in what it has become', async () => {
      for (const isNamed of [true, false]) {
        const target = pickyTarget([30], { isNamed })
        const dead = graveyard()
        const transform = (record: JobRecord) => {
          record.id = Number(record.id) * 10
          return Number(record.id) % 20 ? [record, { ...record, id: Number(record.id) + 1 }] : record
        }
        const rows = people(1, 6).map(({ id, name }) => [String(id), name])
        const columns = [
          { name: 'id', type: 'integer', decode: Number },
          { name: 'name', type: 'text' },
        ] as const
        registry.define({
          id: `rows-${isNamed}`,
          datasource: testDatasource({ columns, rows }),
          transform,
          target: target.write,
          failures: { deadLetters: dead.write },
        })
        const { finished } = await registry.start('ingestion', `rows-${isNamed}`)
        expect(await finished).toMatchObject({ detail: { read: 6, written: 5, failed: 1 } })
        expect(target.taken).toEqual([10, 11, 20, 40, 50, 51, 60])
        // As it was read, whatever the transform did to it.
        expect(dead.letters.map(({ record }) => record)).toEqual([{ id: 3, name: 'person 3' }])
      }
    })

    it('over batches, gives it smaller batches', async () => {
      const target = pickyTarget([3])
      const dead = graveyard()
      const transformBatch = (batch: RecordBatch) => {
        if (batch.records().some(({ id }) => id === 6)) throw new RangeError('cannot read 6')
        return batch.records()
      }
      const failures = { deadLetters: dead.write }
      const datasource = testDatasource(people(1, 8))
      const status = await run({ datasource, transformBatch, target: target.write, failures })
      expect(status).toMatchObject({ detail: { read: 8, written: 6, failed: 2, skipped: 0 } })
      expect(target.taken).toEqual([1, 2, 4, 5, 7, 8])
      expect(dead.letters.map(({ record, phase }) => [record.id, phase])).toEqual([
        [3, 'target'],
        [6, 'transform'],
      ])
    })

    it('that stops at the signal is no failure of a record', async () => {
      let begin = () => {}
      const begun = new Promise<void>((resolve) => {
        begin = resolve
      })
      const transform = async (_: JobRecord, { signal }: { signal: AbortSignal }) => {
        begin()
        await new Promise((resolve) => signal.addEventListener('abort', resolve))
        throw new RangeError('stopped', { cause: signal.reason })
      }
      const dead = graveyard()
      const failures = { deadLetters: dead.write }
      await start({ datasource: testDatasource(people(1, 3)), transform, target: () => {}, failures })
      await begun
      await registry.abort('ingestion', 'people')
      expect(dead.letters).toEqual([])
      expect(await registry.status('ingestion', 'people')).toMatchObject({ state: 'aborted', count: 0 })
    })
  })

  describe('fails the job when too many fail:', () => {
    it('the first one, when none may', async () => {
      const target = pickyTarget([5])
      const status = await run({
        ...resumable,
        datasource: afterLastId(people(1, 9)),
        target: target.write,
        failures: {},
      })
      expect(status).toMatchObject({
        state: 'error',
        error: [
          'Too many records failed: `failures.total` allows 0, and 0 of 4 were set aside before.',
          'Could not write to target [function].',
          'Batch 0, record 5 of this run (id 5).',
          '5 is not wanted, password=***',
        ],
        count: 4,
        lastId: '4',
        detail: { read: 4, written: 4, failed: 0, skipped: 0 },
      })
      // Nothing behind it was written, and the next run begins with it.
      expect(target.taken).toEqual([1, 2, 3, 4])
      expect(await again()).toMatchObject({ state: 'error', count: 0 })
      target.calls.length = 0
    })

    it('more than `total`, with the first and the last cause; those before are put aside', async () => {
      const target = pickyTarget([2, 4, 6])
      const dead = graveyard()
      const failures = { deadLetters: dead.write, total: 2 }
      const status = await run({ ...resumable, datasource: afterLastId(people(1, 9)), target: target.write, failures })
      expect(status).toMatchObject({ state: 'error', count: 5, lastId: '5', detail: { written: 3, failed: 2 } })
      const { error } = status as { error: string[] }
      expect(error).toEqual([
        'Too many records failed: `failures.total` allows 2, and 2 of 5 were set aside before.',
        'The first record that failed:',
        'Could not write to target [function].',
        'Batch 0, record 2 of this run (id 2).',
        '2 is not wanted, password=***',
        'The record that ended the run:',
        'Could not write to target [function].',
        'Batch 0, record 6 of this run (id 6).',
        '6 is not wanted, password=***',
      ])
      expect(dead.ids()).toEqual([2, 4])
      expect(await again()).toMatchObject({ state: 'successful', count: 4, detail: { read: 4, written: 3, failed: 1 } })
      expect(dead.ids()).toEqual([2, 4, 6])
      expect(target.taken).toEqual([1, 3, 5, 7, 8, 9])
    })

    it('of a transform too, at the record that is one too many', async () => {
      const target = pickyTarget([])
      const dead = graveyard()
      const transform = (record: JobRecord) => {
        if (Number(record.id) % 2) return record
        throw new RangeError(`cannot read ${record.id}`)
      }
      const failures = { deadLetters: dead.write, total: 2 }
      const job = { ...resumable, datasource: afterLastId(people(1, 9)), transform, target: target.write, failures }
      expect(await run(job)).toMatchObject({ state: 'error', count: 5, lastId: '5', detail: { written: 3, failed: 2 } })
      expect(target.taken).toEqual([1, 3, 5])
      expect(dead.ids()).toEqual([2, 4])
    })

    it('more in a row than `consecutive`, also over batches', async () => {
      const target = pickyTarget([2, 3, 5, 6, 7])
      const dead = graveyard()
      const failures = { deadLetters: dead.write, consecutive: 2 }
      const job = { ...resumable, datasource: afterLastId(people(1, 9)), batchSize: 2, target: target.write, failures }
      expect(await run(job)).toMatchObject({
        state: 'error',
        error: expect.arrayContaining([
          'Too many records failed: `failures.consecutive` allows 2, and 4 of 6 were set aside before.',
        ]),
        count: 6,
        lastId: '6',
      })
      expect(dead.ids()).toEqual([2, 3, 5, 6])
    })

    it.each([
      [1500, 10, 'successful', 1500],
      [1500, 11, 'error', 1000],
      [999, 500, 'successful', 999],
    ])('a larger share than `rate`, of %i records, %i of them bad', async (length, bad, state, count) => {
      const target = pickyTarget(
        people(1, bad).map(({ id }) => Number(id)),
        { isNamed: true },
      )
      const dead = graveyard()
      const failures = { deadLetters: dead.write, rate: 0.01, consecutive: 1000 }
      const datasource = afterLastId([...people(1, length)])
      const job = { ...resumable, datasource, batchSize: 100, target: target.write, failures }
      expect(await run(job)).toMatchObject({ state, count })
      expect(dead.letters).toHaveLength(bad)
    })

    it('more than 1,000, or 100 in a row, when only dead letters are given', async () => {
      const dead = graveyard()
      const job = { batchSize: 500, target: pickyTarget(people(1, 101).map(({ id }) => Number(id))).write }
      const failures = { deadLetters: dead.write }
      expect(await run({ ...job, datasource: testDatasource(people(1, 200)), failures })).toMatchObject({
        state: 'error',
        detail: { failed: 100 },
      })
      const everyOther = people(1, 2100).flatMap(({ id }) => (Number(id) % 2 ? [Number(id)] : []))
      const target = pickyTarget(everyOther, { isNamed: true }).write
      registry.define({ id: 'many', datasource: testDatasource(people(1, 2100)), target, failures })
      const { finished } = await registry.start('ingestion', 'many')
      expect(await finished).toMatchObject({ state: 'error', count: 2000, detail: { failed: 1000 } })
    })
  })

  it('without dead letters, logs the records that may fail', async () => {
    const { write } = pickyTarget([2])
    const failures = { total: 1 }
    expect(await run({ datasource: testDatasource(people(1, 3)), target: write, failures })).toMatchObject({
      state: 'successful',
      detail: { written: 2, failed: 1 },
    })
    expect(warn).toHaveBeenCalledWith(
      expect.objectContaining({
        id: 'people',
        error: [expect.any(String), 'Batch 0, record 2 of this run.', '2 is not wanted, password=***'],
      }),
      'Job [ingestion/people] dropped a record that failed.',
    )
  })

  describe('that pass', () => {
    const transient = () => Object.assign(new Error('a race was lost'), { code: '40001' })

    it('are tried again after a while, in smaller batches, in order', async () => {
      const target = pickyTarget([])
      const write = async (batch: RecordBatch, context: { idempotencyKey: string }) => {
        if (batch.length <= 2) return target.write(batch, context)
        target.calls.push(batch.records().map(({ id }) => Number(id)))
        throw transient()
      }
      const { finished } = await start({ datasource: testDatasource(people(1, 8)), target: write, failures: {} })
      await clock.advance(30_000)
      expect(await finished).toMatchObject({ state: 'successful', detail: { written: 8, failed: 0 } })
      expect(target.taken).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
      expect(target.calls.map(({ length }) => length)).toEqual([8, 4, 2, 2, 4, 2, 2])
    })

    it('fail the try when they do not pass, and are no failures of records', async () => {
      const dead = graveyard()
      const write = vi.fn(() => {
        throw transient()
      })
      const failures = { deadLetters: dead.write }
      const { finished } = await start({ datasource: testDatasource(people(1, 8)), target: write, failures })
      await clock.advance(60_000)
      const status = await finished
      expect(status).toMatchObject({
        state: 'error',
        error: ['Could not write to target [function].', 'Batch 0, records 1 to 8 of this run.', 'a race was lost'],
      })
      expect(status).not.toHaveProperty('detail')
      expect(write).toHaveBeenCalledTimes(6)
      expect(dead.letters).toEqual([])
    })

    it('are those that `retry.isTransient` of the job says', async () => {
      const target = pickyTarget([4])
      let isAway = true
      const write = async (batch: RecordBatch, context: { idempotencyKey: string }) => {
        if (isAway) {
          isAway = false
          throw new RangeError('away')
        }
        return target.write(batch, context)
      }
      const retry = { isTransient: (error: unknown) => `${(error as Error).cause}`.includes('away') }
      const { finished } = await start({
        datasource: testDatasource(people(1, 8)),
        target: write,
        retry,
        failures: { total: 1 },
      })
      await clock.advance(30_000)
      expect(await finished).toMatchObject({ state: 'successful', detail: { written: 7, failed: 1 } })
    })

    it('leave an abort its way', async () => {
      const write = () => {
        throw transient()
      }
      const { finished } = await start({ datasource: testDatasource(people(1, 8)), target: write, failures: {} })
      await registry.abort('ingestion', 'people')
      expect(await finished).toMatchObject({ state: 'aborted' })
    })
  })

  it('looks for no record once the target can take nothing more', async () => {
    const write = vi.fn(() => {
      throw new RangeError('the connection is gone')
    })
    const target: Target = {
      kind: 'frail',
      capabilities: { writesAtomically: true },
      open: () => ({ writer: { write, isBroken: true } }),
    }
    const failures = { total: 100 }
    expect(await run({ datasource: testDatasource(people(1, 8)), target, failures })).toMatchObject({ state: 'error' })
    expect(write).toHaveBeenCalledTimes(1)
  })

  it('tells the target, and the dead letters nothing of it', async () => {
    const target = collectingTarget()
    const deadLetters = collectingTarget()
    await run({ datasource: testDatasource(people(1, 2)), target, failures: { deadLetters } })
    expect(target.calls[0]).toMatchObject({ name: 'open', context: { toleratesFailures: true } })
    expect(deadLetters.calls[0]).not.toMatchObject({ context: { toleratesFailures: true } })
  })

  it.each([
    [{ failures: { total: -1 } }, '`failures.total` to be a whole number from 0 up, or Infinity, got `-1`'],
    [{ failures: { consecutive: 1.5 } }, '`failures.consecutive`'],
    [{ failures: { rate: 2 } }, '`failures.rate` to be a number from 0 to 1, got `2`'],
    [
      { failures: { deadLetters: 'somewhere' } },
      '`failures.deadLetters` to be a function, or an object with the method `open`',
    ],
    [{ failures: { limit: 1 } }, '`limit`'],
    [{ failures: 3 }, '`failures` to be an object, got `3`'],
    [
      { failures: {}, target: { kind: 'plain', open() {} } },
      'a target of the kind plain, whose writes are neither atomic nor idempotent',
    ],
    [
      { failures: { deadLetters: collectingTarget({ strategy: 'replace' }) } },
      '`failures.deadLetters` to be a target with the strategy `append`, got `replace`',
    ],
  ])('%# is refused by define', (job, message) => {
    const define = () =>
      registry.define({ id: 'people', datasource: testDatasource([]), target: () => {}, ...job } as never)
    expect(define).toThrow(message)
  })

  it('is refused when dead letters go where the records go', () => {
    const target = collectingTarget()
    const define = () =>
      registry.define({ id: 'people', datasource: testDatasource([]), target, failures: { deadLetters: target } })
    expect(define).toThrow('`failures.deadLetters` to be another target than `target`')
  })

  describe('has its dead letters', () => {
    it('durable before the checkpoint that passes over them, and closes both targets in order', async () => {
      const order: string[] = []
      const traced = (name: string, isPicky: boolean): Target => ({
        kind: name,
        capabilities: { writesAtomically: true },
        open: () => ({
          writer: {
            write(batch) {
              if (isPicky && batch.records().some(({ id }) => id === 2)) throw new RangeError('not 2')
              order.push(`${name} write ${batch.length}`)
            },
            async flush() {
              order.push(`${name} flush`)
              return name
            },
            async commit() {
              order.push(`${name} commit`)
            },
            async abort() {
              order.push(`${name} abort`)
            },
          },
        }),
      })
      const failures = { deadLetters: traced('dead', false) }
      const target = traced('main', true)
      await run({ ...resumable, datasource: afterLastId(people(1, 2)), target, failures })
      expect(order).toEqual([
        ...['dead flush', 'main flush', 'main write 1', 'dead write 1', 'dead flush', 'main flush', 'main flush'],
        ...['dead commit', 'main commit'],
      ])
      expect(await storage.find('ingestion', 'people')).toMatchObject({
        checkpoint: { position: 'main', deadLetters: 'dead' },
      })
    })

    it.each(['write', 'flush', 'open'] as const)(
      'fails the job when their target fails to %s, and writes no checkpoint',
      async (step) => {
        const aborted: unknown[] = []
        const broken = async () => {
          throw new RangeError('no room')
        }
        const deadLetters: Target = {
          kind: 'narrow',
          open: async () => {
            if (step === 'open') await broken()
            const abort = async (reason: unknown) => void aborted.push(reason)
            return { writer: { write: () => {}, [step]: broken, abort } }
          },
        }
        const target = collectingTarget({ refuses: ({ id }) => id === 3 })
        const job = { datasource: afterLastId(people(1, 4)), batchSize: 2, target, failures: { deadLetters } }
        const status = await run({ ...resumable, ...job })
        expect(status).toMatchObject({
          state: 'error',
          error: ['Could not write to dead-letter target [narrow].', 'no room'],
        })
        expect(target.calls.at(-1)).toMatchObject({ name: 'abort' })
        expect(JSON.stringify(await storage.find('ingestion', 'people'))).not.toContain('"lastId":"4"')
        expect(aborted).toHaveLength(step === 'open' ? 0 : 1)
      },
    )

    it('in storage before the next batch is written, however seldom progress is saved', async () => {
      await using slow = new JobRegistry({ storage, clock, progressInterval: 60_000 })
      const deadLetters = collectingTarget()
      const seen: unknown[] = []
      const target = async (batch: RecordBatch) => {
        if (batch.records().some(({ id }) => id === 2)) throw new RangeError('not 2')
        const { checkpoint } = Object(await storage.find('ingestion', 'slow'))
        seen.push(checkpoint.deadLetters)
      }
      const job = { datasource: afterLastId(people(1, 6)), batchSize: 2, target, failures: { deadLetters } }
      slow.define({ id: 'slow', ...resumable, ...job })
      await (await slow.start('ingestion', 'slow')).finished
      expect(seen).toEqual([0, 1, 1])
    })

    it('once, when the job fails between their flush and the checkpoint, and goes on', async () => {
      // A target that keeps checkpoints keeps them with the dead letters.
      const kept: { checkpoint?: unknown; letters: JobRecord[] } = { letters: [] }
      const deadLetters: Target = {
        kind: 'keeping',
        open: () => {
          let open: JobRecord[] = []
          const writer: TargetWriter = {
            write: (batch) => void open.push(...batch.records()),
            async flush(checkpoint) {
              kept.checkpoint = checkpoint
              kept.letters.push(...open)
              open = []
            },
          }
          return { writer, resume: { checkpoint: kept.checkpoint ?? null } }
        },
      }
      let failAt = 0
      const taken: number[] = []
      const target: Target = {
        kind: 'failing',
        capabilities: { writesAtomically: true },
        open: ({ position }) => {
          taken.length = Number(position ?? 0)
          let flushes = 0
          const writer: TargetWriter = {
            write(batch) {
              const ids = batch.records().map(({ id }) => Number(id))
              if (ids.some((id) => id % 3 === 0)) throw new RangeError('not by three')
              taken.push(...ids)
            },
            async flush() {
              flushes++
              if (flushes === failAt) throw new RangeError('no flush')
              return taken.length
            },
          }
          return { writer }
        },
      }
      registry.define({
        id: 'people',
        ...resumable,
        datasource: afterLastId(people(1, 20)),
        batchSize: 4,
        target,
        failures: { deadLetters },
      })
      for (failAt of [2, 3, 2, 2]) expect(await again()).toMatchObject({ state: 'error' })
      failAt = 0
      expect(await again()).toMatchObject({ state: 'successful' })
      expect(taken).toEqual([1, 2, 4, 5, 7, 8, 10, 11, 13, 14, 16, 17, 19, 20])
      expect(kept.letters.map(({ record }) => (record as JobRecord).id)).toEqual([3, 6, 9, 12, 15, 18])
    })
  })

  it('counts on over the tries of an execution', async () => {
    const error = Object.assign(new Error('away'), { code: 'ECONNRESET' })
    const datasource = testDatasource(
      ({ values }) => people(1, 40).filter(({ id }) => values.length === 0 || Number(id) > Number(values[0])),
      { failAfter: 20, error, once: true },
    )
    const target = pickyTarget([7, 33])
    const failures = { total: 2 }
    const job = { ...resumable, datasource, batchSize: 10, target: target.write, resume: 'auto' as const, failures }
    const { finished } = await start(job)
    await clock.advance(60_000)
    expect(await finished).toMatchObject({ state: 'successful', detail: { read: 40, written: 38, failed: 2 } })
  })
})
