import {
  type IngestionJob,
  type JobRecord,
  JobRegistry,
  memoryStorage,
  type QueryVariables,
  type Target,
} from 'headgate'
import type { Query, RecordBatch, TargetAbort } from 'headgate/adapter'
import { collectingTarget, fakeClock, recordEvents, testDatasource } from 'headgate/testing'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { afterLastId, people, resumable } from '../people.js'

describe('an ingestion', () => {
  const clock = fakeClock()
  let registry: JobRegistry
  let storage: ReturnType<typeof memoryStorage>

  beforeEach(() => {
    storage = memoryStorage({ clock })
    registry = new JobRegistry({ storage, clock, progressInterval: 0 })
  })
  afterEach(() => registry.close())

  const start = (job: Omit<IngestionJob, 'id'>) => {
    registry.define({ id: 'people', ...job })
    return registry.start('ingestion', 'people')
  }
  const again = async () => (await registry.start('ingestion', 'people')).finished
  const run = async (job: Omit<IngestionJob, 'id'>) => (await start(job)).finished

  it('writes every record, in batches, and counts them', async () => {
    const target = collectingTarget()
    const status = await run({ datasource: testDatasource(people(1, 25)), batchSize: 10, pkField: 'id', target })
    expect(status).toMatchObject({ state: 'successful', count: 25, lastId: '25' })
    expect(target.records).toEqual(people(1, 25))
    expect(target.batches.map(({ length }) => length)).toEqual([10, 10, 5])
  })

  it('takes a function for a target, and gives it the job and a key for every batch', async () => {
    const keys: string[] = []
    const seen: unknown[] = []
    await run({
      datasource: testDatasource(people(1, 3)),
      batchSize: 2,
      target: (batch, { type, id, signal, idempotencyKey }) => {
        keys.push(idempotencyKey)
        seen.push([type, id, signal.aborted, batch.length])
      },
    })
    expect(seen).toEqual([
      ['ingestion', 'people', false, 2],
      ['ingestion', 'people', false, 1],
    ])
    expect(new Set(keys).size).toBe(2)
  })

  it('gives other keys to a try that starts over, as it may read other records', async () => {
    const records = people(1, 4)
    const taken = new Map<string, JobRecord[]>()
    const target = (batch: RecordBatch, { idempotencyKey }: { idempotencyKey: string }) => {
      if (taken.has(idempotencyKey)) return
      if (taken.size === 1) {
        records.reverse()
        taken.set('lost', [])
        throw Object.assign(new Error('away'), { code: 'ECONNRESET' })
      }
      taken.set(idempotencyKey, batch.records())
    }
    const { finished } = await start({ datasource: testDatasource(records), batchSize: 2, target, resume: 'auto' })
    await clock.advance(60_000)
    expect(await finished).toMatchObject({ state: 'successful' })
    expect(new Set([...taken.values()].flat().map(({ id }) => id))).toEqual(new Set([1, 2, 3, 4]))
  })

  it('is successful without records', async () => {
    const target = collectingTarget()
    expect(await run({ datasource: testDatasource([]), pkField: 'id', target })).toMatchObject({
      state: 'successful',
      count: 0,
      detail: { read: 0, written: 0, failed: 0, skipped: 0 },
    })
    expect(target.calls.map(({ name }) => name)).toEqual(['open', 'flush', 'commit'])
  })

  it('reads no more than `maxRecords`, whatever the batches', async () => {
    for (const batchSize of [1, 3, 7, 10]) {
      const target = collectingTarget()
      const datasource = testDatasource(people(1, 20))
      registry.define({ id: `trial-${batchSize}`, datasource, batchSize, maxRecords: 7, target })
      const { finished } = await registry.start('ingestion', `trial-${batchSize}`)
      expect(await finished).toMatchObject({ state: 'successful', count: 7 })
      expect(target.records).toEqual(people(1, 7))
      expect(datasource.reads[0]?.count).toBeLessThan(7 + batchSize)
    }
  })

  it('asks for the next batch while one is written, and for no more than that', async () => {
    const datasource = testDatasource(people(1, 100))
    const ahead: number[] = []
    let written = 0
    await run({
      datasource,
      batchSize: 10,
      target: async (batch) => {
        await new Promise(setImmediate)
        ahead.push((datasource.reads[0]?.count ?? 0) - written)
        written += batch.length
      },
    })
    expect(Math.max(...ahead)).toBe(20)
  })

  describe('with a transform', () => {
    it('writes what a record becomes: one, several or none', async () => {
      const target = collectingTarget()
      const status = await run({
        datasource: testDatasource(people(1, 4)),
        pkField: 'id',
        target,
        transform: ({ id }) => {
          if (id === 1) return { id, kept: true }
          if (id === 2)
            return [
              { id, copy: 1 },
              { id, copy: 2 },
            ]
          return id === 3 ? null : []
        },
      })
      expect(target.records).toEqual([
        { id: 1, kept: true },
        { id: 2, copy: 1 },
        { id: 2, copy: 2 },
      ])
      expect(status).toMatchObject({ count: 4, lastId: '4', detail: { read: 4, written: 2, failed: 0, skipped: 2 } })
    })

    it('waits for one that is asynchronous, and keeps the order', async () => {
      const target = collectingTarget()
      const transform = async (record: JobRecord) => {
        if (Number(record.id) % 2) await new Promise(setImmediate)
        return record
      }
      await run({ datasource: testDatasource(people(1, 9)), target, transform })
      expect(target.records).toEqual(people(1, 9))
    })

    it('over batches, counts as skipped what a batch has become fewer', async () => {
      const target = collectingTarget()
      const transformBatch = (batch: RecordBatch) =>
        batch.length === 3 ? [...batch.records(), { id: 'more' }] : batch.records().slice(1)
      const events = recordEvents(registry)
      const status = await run({ datasource: testDatasource(people(1, 5)), batchSize: 3, target, transformBatch })
      expect(status).toMatchObject({ count: 5, detail: { read: 5, written: 4, failed: 0, skipped: 1 } })
      const progress = events.events.flatMap(({ status }) => ('detail' in status ? [status] : []))
      expect(progress.map(({ count, detail }) => count === detail?.read)).not.toContain(false)
    })

    it('does not write a batch of which nothing is left', async () => {
      const target = collectingTarget()
      await run({
        datasource: testDatasource(people(1, 4)),
        batchSize: 2,
        target,
        transform: ({ id }) => (id === 3 ? { id } : null),
      })
      expect(target.batches.map(({ length }) => length)).toEqual([1])
    })

    it.each([
      ['a number', { transform: () => 5 }, 'a record, an array of records or null, got a number.'],
      ['a text', { transform: () => 'x' }, 'a record, an array of records or null, got a string.'],
      ['nothing', { transform: () => undefined }, 'or null, got nothing: return null to drop the record.'],
      ['nothing, later', { transform: async () => undefined }, 'or null, got nothing: return null to drop the record.'],
      ['false', { transform: () => false }, 'or null, got a boolean: return null to drop the record.'],
      ['a generator', { *transform() {} }, 'a record, an array of records or null, got a generator.'],
      ['a generator for a batch', { async *transformBatch() {} }, 'an array of records, got a generator.'],
      ['a Response', { transform: () => Response.json({}) }, 'or null, got a Response.'],
      ['nested arrays', { transform: () => [[{ id: 1 }]] }, 'records that are objects, got an array'],
      ['nulls among others', { transform: () => [{ id: 1 }, null] }, 'records that are objects, got null'],
      ['a text for a batch', { transformBatch: () => 'x' }, 'an array of records, got a string'],
      ['nothing for a batch', { transformBatch: () => undefined }, 'an array of records, got nothing'],
      ['numbers for a batch', { transformBatch: () => [1] }, 'records that are objects, got a number'],
    ])('refuses %s', async (_, more, message) => {
      const target = collectingTarget()
      const status = await run({ datasource: testDatasource(people(1, 4)), target, ...(more as object) })
      expect(status).toMatchObject({
        state: 'error',
        error: [
          'The transform failed.',
          expect.stringMatching(/^Batch 0, record.* 1 /),
          expect.stringContaining(message),
        ],
      })
      expect(target.records).toEqual([])
    })

    it('measures records that JSON cannot hold for the rate', async () => {
      const deep = {}
      for (let at: Record<string, unknown> = deep, depth = 0; depth < 50_000; depth++) at = at.inner = {}
      const circular: Record<string, unknown> = { big: 5n }
      circular.self = circular
      const status = await run({
        datasource: testDatasource([
          { id: 1, deep },
          { id: 2, circular },
        ]),
        rateLimit: { bytes: 1 << 20 },
        target: () => undefined,
      })
      expect(status).toMatchObject({ state: 'successful', count: 2 })
    })

    it('may take a whole batch', async () => {
      const target = collectingTarget()
      const transformBatch = (batch: RecordBatch) => [{ ids: batch.records().map(({ id }) => id) }]
      await run({ datasource: testDatasource(people(1, 3)), batchSize: 2, target, transformBatch })
      expect(target.records).toEqual([{ ids: [1, 2] }, { ids: [3] }])
    })

    it('fails with what the transform threw underneath', async () => {
      const datasource = testDatasource(people(1, 30))
      const transform = (record: JobRecord) => {
        if (record.id === 15) throw new Error('no such person')
        return record
      }
      const status = await run({ datasource, batchSize: 10, pkField: 'id', target: collectingTarget(), transform })
      expect(status).toMatchObject({
        state: 'error',
        count: 10,
        lastId: '10',
        error: ['The transform failed.', 'Batch 1, record 15 of this run (id 15).', 'no such person'],
      })
      expect(datasource.reads[0]?.state).not.toBe('open')
    })
  })

  describe('that fails', () => {
    it('names the datasource that died, and keeps what was written', async () => {
      const target = collectingTarget()
      const datasource = testDatasource(people(1, 30), { failAfter: 25, error: new Error('gone') })
      await registry.close()
      registry = new JobRegistry({ storage, clock, datasources: { people: datasource } })
      const status = await run({ datasource: 'people', batchSize: 10, pkField: 'id', target })
      expect(status).toMatchObject({
        state: 'error',
        count: 25,
        lastId: '25',
        error: ['Could not execute datasource query [people].', 'gone'],
      })
      expect(target.calls.at(-1)).toMatchObject({ name: 'abort' })
    })

    it('counts no batch that the target refused, and stops reading', async () => {
      const datasource = testDatasource(people(1, 100))
      const target = collectingTarget({ failAt: 3, error: new Error('full') })
      const status = await run({ datasource, batchSize: 10, pkField: 'id', target })
      expect(status).toMatchObject({
        state: 'error',
        count: 20,
        lastId: '20',
        error: ['Could not write to target [collecting].', 'Records 21 to 30 of this run.', 'full'],
      })
      expect(datasource.reads[0]).toMatchObject({ count: expect.any(Number), state: expect.not.stringMatching('open') })
      expect(datasource.reads[0]?.count).toBeLessThanOrEqual(40)
    })

    it('counts nothing that the target could not flush', async () => {
      const target = collectingTarget({ failFlush: true, error: new Error('no space') })
      const status = await run({ datasource: testDatasource(people(1, 30)), batchSize: 10, pkField: 'id', target })
      expect(status).toMatchObject({ state: 'error', count: 0 })
      expect(status).not.toHaveProperty('lastId')
    })

    it('names the columns when pkField is not among them', async () => {
      const status = await run({ datasource: testDatasource(people(1, 3)), pkField: 'key', target: () => {} })
      expect(status).toMatchObject({ state: 'error', count: 0 })
      expect(JSON.stringify(status)).toContain('Expected a column `key` among')
      expect(JSON.stringify(status)).toContain('id, name')
    })

    it('keeps the error of the job when the target cannot be let go either', async () => {
      const writer = { write() {}, abort: () => Promise.reject(new Error('stuck')) }
      const target = { kind: 'sticky', open: () => ({ writer }) }
      const datasource = testDatasource(people(1, 3), { failAfter: 1, error: new Error('gone') })
      expect(await run({ datasource, target })).toMatchObject({ error: [expect.any(String), 'gone'] })
    })
  })

  describe('that is aborted', () => {
    const abort = () => registry.abort('ingestion', 'people')

    it('before its first record, is aborted at once', async () => {
      const datasource = testDatasource(people(1, 3), { hangAfter: 0 })
      await start({ datasource, target: collectingTarget() })
      expect(await abort()).toMatchObject({ state: 'aborted', count: 0 })
      expect(datasource.reads[0]?.state).toBe('aborted')
    })

    it('while it waits for records, keeps what was written', async () => {
      const target = collectingTarget()
      const events = recordEvents(registry)
      await start({
        datasource: testDatasource(people(1, 30), { hangAfter: 20 }),
        batchSize: 10,
        pkField: 'id',
        target,
      })
      await events.waitFor('progress', ({ status }) => status.count === 20)
      expect(await abort()).toMatchObject({ state: 'aborted', count: 20, lastId: '20' })
      expect(target.calls.at(-1)?.name).toBe('abort')
    })

    it('during a slow write, is aborting until the write has ended', async () => {
      let finishWrite = () => {}
      const writing = new Promise<void>((started) => {
        const target = () =>
          new Promise<void>((resolve) => {
            finishWrite = resolve
            started()
          })
        void start({ datasource: testDatasource(people(1, 30)), batchSize: 10, pkField: 'id', target })
      })
      await writing
      expect(await registry.abort('ingestion', 'people', { timeout: 0 })).toMatchObject({ state: 'aborting' })
      const aborted = abort()
      finishWrite()
      expect(await aborted).toMatchObject({ state: 'aborted', count: 10, lastId: '10' })
    })

    it('twice, and after its end, is aborted once', async () => {
      await start({ datasource: testDatasource([], { hangAfter: 0 }), target: collectingTarget() })
      const statuses = await Promise.all([abort(), abort()])
      expect(statuses).toEqual([await abort(), await abort()])
      expect((await registry.search()).total).toBe(1)
    })

    it('when all is written, is successful', async () => {
      let finishCommit = () => {}
      const committing = new Promise<void>((started) => {
        const commit = () =>
          new Promise<void>((resolve) => {
            finishCommit = resolve
            started()
          })
        const target = { kind: 'slow', open: () => ({ writer: { write() {}, commit } }) }
        void start({ datasource: testDatasource(people(1, 5)), target })
      })
      await committing
      const aborted = abort()
      await new Promise(setImmediate)
      finishCommit()
      expect(await aborted).toMatchObject({ state: 'successful', count: 5 })
    })

    it('is in error when the target cannot be stopped', async () => {
      const writer = { write() {}, abort: () => Promise.reject(new Error('stuck')) }
      const target = { kind: 'sticky', open: () => ({ writer }) }
      await start({ datasource: testDatasource([], { hangAfter: 0 }), target })
      expect(await abort()).toMatchObject({ state: 'error', error: ['Could not write to target [sticky].', 'stuck'] })
    })
  })

  describe('that has lost its lease', () => {
    it('neither flushes nor commits, and tells its target why', async () => {
      const target = collectingTarget({ hangAt: 2 })
      const { finished } = await start({ ...resumable, datasource: afterLastId(people(1, 9)), batchSize: 3, target })
      await clock.advance(100)
      const { renew, finish } = storage
      storage.renew = storage.finish = () => Promise.reject(new Error('away'))
      const flushes = () => target.calls.filter(({ name }) => name === 'flush').length
      const before = flushes()
      await clock.advance(31_000)
      expect(target.calls.at(-1)).toMatchObject({ name: 'abort', reason: { code: 'lease_lost' }, leaseLost: true })
      expect(flushes()).toBe(before)
      Object.assign(storage, { renew, finish })
      await clock.advance(5000)
      expect(await finished).toMatchObject({ state: 'error', count: 3 })
    })
  })

  it('that was asked to stop, and lost its lease before it had, touches its target no more', async () => {
    const calls: unknown[] = []
    let release = () => {}
    const writer = {
      write: () => new Promise<void>((resolve) => { release = resolve }), // biome-ignore format: one line
      flush: async () => void calls.push('flush'),
      abort: async ({ leaseLost }: TargetAbort) => void calls.push({ leaseLost }),
    }
    const target = { kind: 'slow', open: () => ({ writer }) }
    await start({ ...resumable, datasource: afterLastId(people(1, 9)), batchSize: 3, target })
    await clock.advance(100)
    await registry.abort('ingestion', 'people', { timeout: 0 })
    const { renew, finish } = storage
    storage.renew = storage.finish = () => Promise.reject(new Error('away'))
    await clock.advance(31_000)
    calls.length = 0
    release()
    await clock.advance(100)
    expect(calls).toEqual([{ leaseLost: true }])
    Object.assign(storage, { renew, finish })
    await clock.advance(5000)
  })

  it('that is tried again reads no more than `maxRecords` in all, and counts on', async () => {
    const error = Object.assign(new Error('away'), { code: 'ECONNRESET' })
    const all = people(1, 100)
    const datasource = testDatasource(
      ({ values }) => all.filter(({ id }) => values.length === 0 || Number(id) > Number(values[0])),
      { failAfter: 40, error, once: true },
    )
    const target = collectingTarget()
    const transform = (record: JobRecord) => (Number(record.id) % 5 === 0 ? null : record)
    const job = { ...resumable, datasource, batchSize: 10, maxRecords: 50, transform, target, resume: 'auto' as const }
    const { finished } = await start(job)
    await clock.advance(60_000)
    const detail = { read: 50, written: 40, failed: 0, skipped: 10 }
    expect(await finished).toMatchObject({ state: 'successful', count: 50, lastId: '50', detail })
    expect(target.records).toHaveLength(40)
  })

  it('knows where its target stood before it writes, however seldom progress is saved', async () => {
    const target = collectingTarget({ hangAt: 1 })
    await using slow = new JobRegistry({ storage, clock, progressInterval: 60_000 })
    slow.define({ id: 'slow', ...resumable, datasource: afterLastId(people(1, 3)), target })
    await slow.start('ingestion', 'slow')
    await clock.advance(10)
    expect(target.calls.map(({ name }) => name)).toEqual(['open', 'flush', 'write'])
    expect(await storage.find('ingestion', 'slow')).toMatchObject({ checkpoint: { sequence: 0, position: 0 } })
    await slow.abort('ingestion', 'slow')
  })

  describe('that goes on', () => {
    it('after a failure, from the last checkpoint, with every record once', async () => {
      const datasource = afterLastId(people(1, 30))
      datasource.faults = { failAfter: 15, once: true }
      const target = collectingTarget()
      expect(await run({ datasource, target, batchSize: 10, ...resumable })).toMatchObject({
        state: 'error',
        count: 15,
      })
      expect(await again()).toMatchObject({ state: 'successful', count: 15, lastId: '30' })
      expect(datasource.reads[1]?.query).toEqual({ text: 'all after $1', values: ['15'] })
      expect(target.records).toEqual(people(1, 30))
    })

    it('after a success, with what is new', async () => {
      const all = people(1, 10)
      const target = collectingTarget()
      await run({ datasource: afterLastId(all), target, ...resumable })
      all.push(...people(11, 12))
      expect(await again()).toMatchObject({ state: 'successful', count: 2, lastId: '12' })
      expect(await again()).toMatchObject({ state: 'successful', count: 0, lastId: '12' })
      expect(target.records).toEqual(people(1, 12))
    })

    it('after a run that could not read, from the checkpoint before it', async () => {
      const datasource = afterLastId(people(1, 10))
      const target = collectingTarget()
      await run({ datasource, target, ...resumable })
      datasource.faults = { failAfter: 0, once: true }
      expect(await again()).toMatchObject({ state: 'error', count: 0, lastId: '10' })
      expect(await again()).toMatchObject({ state: 'successful', count: 0, lastId: '10' })
    })

    it('from the beginning where the query does not say how', async () => {
      const target = collectingTarget()
      const datasource = testDatasource(people(1, 3))
      await run({ datasource, target, pkField: 'id', query: 'all' })
      await again()
      expect(target.records).toEqual([...people(1, 3), ...people(1, 3)])
      expect(target.calls.filter(({ name }) => name === 'open')).toMatchObject([
        { context: { isResumed: false, isResumable: false } },
        { context: { isResumed: false, isResumable: false } },
      ])
    })

    it('from the beginning with `resume: restart`', async () => {
      const datasource = afterLastId(people(1, 3))
      await run({ datasource, target: collectingTarget(), resume: 'restart', ...resumable })
      expect(await again()).toMatchObject({ count: 3 })
    })

    it('from the beginning after a success of a target that replaces, and from the checkpoint after a failure', async () => {
      const datasource = afterLastId(people(1, 20))
      const target = collectingTarget({ strategy: 'replace' })
      await run({ datasource, target, batchSize: 5, ...resumable })
      datasource.faults = { failAfter: 10, once: true }
      expect(await again()).toMatchObject({ state: 'error', count: 10 })
      expect(target.records).toEqual(people(1, 20))
      expect(await again()).toMatchObject({ state: 'successful', count: 10 })
      expect(datasource.reads.map(({ query }) => query.values)).toEqual([[], [], ['10']])
      expect(target.records).toEqual(people(1, 20))
    })

    it('from the beginning when the target says it must', async () => {
      const datasource = afterLastId(people(1, 5))
      const opened: unknown[] = []
      const forgetful: Target = {
        kind: 'forgetful',
        open: ({ position, isResumed }) => {
          opened.push([position, isResumed])
          return { writer: { write() {}, flush: async () => 'somewhere' }, resume: isResumed ? 'restart' : 'position' }
        },
      }
      await run({ datasource, target: forgetful, ...resumable })
      expect(await again()).toMatchObject({ count: 5 })
      expect(opened).toEqual([
        [undefined, false],
        ['somewhere', true],
      ])
    })

    it('from the checkpoint that the target kept, whatever storage knows', async () => {
      const target = collectingTarget()
      const kept: unknown[] = [undefined]
      const { open } = target
      target.open = async (context) => {
        const { writer } = await open(context)
        const keep = async (checkpoint: unknown) => { kept.push(checkpoint); return writer.flush?.(checkpoint) } // biome-ignore format: one line
        const resume = kept.length === 1 ? 'position' : { checkpoint: kept.at(-1) }
        return { writer: { ...writer, flush: keep }, resume }
      }
      const datasource = afterLastId(people(1, 9))
      await run({ ...resumable, datasource, target, maxRecords: 6, batchSize: 3 })
      expect(kept.at(-1)).toMatchObject({
        sequence: 2,
        lastId: '6',
        executionId: expect.any(String),
        detail: { read: 6, written: 6 },
      })
      registry = new JobRegistry({ storage: memoryStorage({ clock }), clock, progressInterval: 0 })
      expect(await run({ ...resumable, datasource, target })).toMatchObject({ count: 3, lastId: '9' })
      expect(target.records).toEqual(people(1, 9))
      registry = new JobRegistry({ storage: memoryStorage({ clock }), clock, progressInterval: 0 })
      expect(await run({ datasource, target, query: 'all' })).toMatchObject({ count: 9 })
      expect(kept.at(-1)).toBeNull()
    })

    it('from where the target stood before the first record, which storage knows before it is written', async () => {
      const target = collectingTarget({ failAt: 1 })
      const stored: unknown[] = []
      const { open } = target
      target.open = async (context) => {
        const { writer } = await open(context)
        const found = async () => (await storage.find('ingestion', 'people'))?.checkpoint
        const write: typeof writer.write = async (...args) => { stored.push(await found()); await writer.write(...args) } // biome-ignore format: one line
        return { writer: { ...writer, write } }
      }
      await run({ ...resumable, datasource: afterLastId(people(1, 3)), target })
      const queryDigest = expect.any(String)
      expect(stored).toEqual([{ origin: expect.any(String), sequence: 0, position: 0, fields: 3, queryDigest }])
      target.faults = {}
      await again()
      expect(target.calls.filter(({ name }) => name === 'open')[1]).toMatchObject({
        context: { position: 0, isResumed: true },
      })
      expect(target.records).toEqual(people(1, 3))
    })

    it('with the key that a batch had when it came first', async () => {
      const keys: [string, unknown][] = []
      const datasource = afterLastId(people(1, 6))
      let isFirst = true
      const target = (batch: RecordBatch, { idempotencyKey }: { idempotencyKey: string }) => {
        keys.push([idempotencyKey, batch.records()[0]?.id])
        if (batch.records()[0]?.id === 3 && isFirst) {
          isFirst = false
          throw new Error('the answer was lost')
        }
      }
      await run({ datasource, target, batchSize: 2, ...resumable })
      await again()
      expect(keys.map(([, id]) => id)).toEqual([1, 3, 3, 5])
      expect(keys[1]?.[0]).toBe(keys[2]?.[0])
      expect(new Set(keys.map(([key]) => key)).size).toBe(3)
    })

    it('with another key for a batch that comes again with more records', async () => {
      const all = people(1, 3)
      const taken = new Map<string, unknown[]>()
      let isFirst = true
      const target = (batch: RecordBatch, { idempotencyKey }: { idempotencyKey: string }) => {
        if (!taken.has(idempotencyKey)) taken.set(idempotencyKey, batch.records())
        if (batch.length === 1 && isFirst) {
          isFirst = false
          throw new Error('the answer was lost')
        }
      }
      await run({ datasource: afterLastId(all), target, batchSize: 2, ...resumable })
      all.push(...people(4, 4))
      expect(await again()).toMatchObject({ state: 'successful', lastId: '4' })
      const ids = [...taken.values()].flat().map((record) => (record as JobRecord).id)
      expect(new Set(ids)).toEqual(new Set([1, 2, 3, 4]))
    })

    it('with all that a query function may ask for', async () => {
      const asked: QueryVariables[] = []
      const query = (variables: QueryVariables): Query => {
        asked.push(variables)
        return { text: 'q', values: [] }
      }
      const records = [{ id: 9007199254740993n }, { id: 9007199254740992n }].map((record) => ({ ...record, name: 'x' }))
      await run({ datasource: testDatasource(records), target: () => {}, pkField: 'id', query })
      await again()
      expect(asked).toEqual([
        { params: {} },
        {
          params: {},
          lastId: '9007199254740992',
          maxPrimaryKey: '9007199254740993',
          lastRecordTimestamp: new Date(clock.now()).toISOString(),
          lastRecord: ['9007199254740992', 'x'],
        },
      ])
    })
  })

  describe('that is defined wrongly', () => {
    const job = { id: 'people', datasource: testDatasource([]), target: () => {} }
    it.each<[object, string]>([
      [
        { ...job, id: '' },
        'Expected `id` to be a string of 1 to 512 well-formed characters without NUL, got `` (string)',
      ],
      [
        { ...job, datasource: 'nowhere' },
        "the name of one of the registry's datasources (none), got `nowhere` (string)",
      ],
      [{ ...job, datasource: undefined }, 'Expected `datasource` to be the name of a datasource, or'],
      [{ ...job, batchSize: 0 }, 'Expected `batchSize` to be a whole number from 1 up, got `0` (number)'],
      [{ ...job, target: 'x' }, 'Expected `target` to be a function, or an object with the method `open`'],
      [{ ...job, batchsize: 3 }, 'got `batchsize` (string)'],
      [{ ...job, transform: () => [], transformBatch: () => [] }, 'Expected `transform` to be omitted with'],
      [
        { ...job, type: 'other' },
        'an object with `type`, `id`, `run`, `resume`, `retry`, `priority`, `params`, `maxDuration`, `datasource`, `schedule`, `onEnd`, got',
      ],
      [{ ...job, run: () => {} }, 'Expected `type` to be a word other than `ingestion`'],
      [
        { ...job, datasource: { ...testDatasource([]), kind: 'sql', capabilities: { requiresQuery: true } } },
        'Expected `query` to be set for a datasource of the kind sql, got nothing',
      ],
    ])('is refused: %#', (definition, message) => {
      expect(() => registry.define(definition as IngestionJob)).toThrow(message)
    })

    it('twice is refused', () => {
      registry.define(job)
      expect(() => registry.define(job)).toThrow('[ingestion/people]')
    })
  })
})
