import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { JobRegistry, type JobStorage, memoryStorage } from 'headgate'
import type { ExecutionRecord } from 'headgate/adapter'
import { postgresStorage } from 'headgate/postgres'
import { sqliteStorage } from 'headgate/sqlite'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { describePostgres } from '../support/describe-postgres.js'
import { openDatabase } from './sqlite/storage-support.js'

/** A storage, and a way to write to it as anybody may who can reach its tables: the values of columns, as SQL. */
interface Subject {
  readonly storage: JobStorage
  /** Changes the row of an execution of `test`, wherever it is. */
  tamper(id: string, set: string): Promise<void>
  /** What ends a lease at once, in the SQL of this database, beside its time. */
  readonly shortLease: string
  close(): Promise<void>
}

/** Stands for a field that is not there. */
const none = undefined

/** What is done to the row of an ended execution of `test`, in SQL of both databases, and what its status has then. */
const ended: [what: string, set: string, status: object][] = [
  ['a state of a later version', `state = 'archived'`, { state: 'error', count: 3 }],
  ['no state', `state = ''`, { state: 'error', count: 3 }],
  ['a state that every object has', `state = 'constructor'`, { state: 'error', count: 3 }],
  ['a negative count', 'count = -3', { state: 'successful', count: 0 }],
  ['a count that no number holds', 'count = 9223372036854775807', { state: 'successful', count: 0 }],
  ['a start that no date has', 'start_time = 9223372036854775807', { state: 'successful' }],
  ['an end that no date has', 'end_time = 9223372036854775807', { state: 'successful', count: 3 }],
  ['a last id that is no text', `last_id = '{"a":1}'`, { state: 'successful', lastId: none }],
  ['a detail that is no object', `detail = '[1]'`, { state: 'successful', detail: none }],
  [
    'a detail that is nested too deep',
    `detail = '{"a":${'['.repeat(3000)}${']'.repeat(3000)}}'`,
    { state: 'successful', detail: none },
  ],
  [
    'an error that is no list',
    `state = 'error', error = '{"length":1}'`,
    { state: 'error', error: [expect.stringContaining('invalid record')] },
  ],
  [
    'an error of no texts',
    `state = 'error', error = '[{"a":1}]'`,
    { state: 'error', error: [expect.stringContaining('invalid record')] },
  ],
  [
    'too many errors',
    `state = 'error', error = '[${Array(1000).fill('"a"')}]'`,
    { state: 'error', error: [expect.stringContaining('invalid record')] },
  ],
  [
    'an error that is too long',
    `state = 'error', error = '["${'a'.repeat(100_000)}"]'`,
    { state: 'error', error: [expect.stringContaining('invalid record')] },
  ],
  ['params that are no object', `params = '[1]'`, { state: 'successful', count: 3 }],
  ['a reason that is no text', `abort_reason = '{"a":1}'`, { state: 'successful', count: 3 }],
  ['a log tail of no lines', `log_tail = '[1]'`, { state: 'successful', count: 3 }],
  ['negative takeovers', 'takeovers = -1', { state: 'successful' }],
  ['an end beside a state that has none', `state = 'running'`, { state: 'error', count: 3 }],
  [
    'a live state and an end that no date has',
    `state = 'running', end_time = 9223372036854775807`,
    { state: 'error', count: 3 },
  ],
  ['a state that has an end, and none', 'end_time = null', { state: 'successful', count: 3 }],
  ['a time of a schedule that no date has', 'scheduled_for = 9223372036854775807', { state: 'successful' }],
]

/** The same for an execution that lives. */
const live: [what: string, set: string, status: object][] = [
  ['a state of a later version', `state = 'paused'`, { state: 'running' }],
  ['a negative count', 'count = -3', { state: 'running', count: 0 }],
  ['a detail that is no object', `detail = '"a"'`, { state: 'running', detail: none }],
  [
    'a checkpoint that is nested too deep',
    `checkpoint = '${'['.repeat(3000)}${']'.repeat(3000)}'`,
    { state: 'running' },
  ],
  ['a lease that ran out before there were dates', 'lease_until = -9223372036854775807', {}],
]

function expectStatus(status: object | undefined, expected: object): void {
  expect({ lastId: none, detail: none, ...status }).toMatchObject(expected)
}

function tampering(open: () => Promise<Subject>): void {
  let subject: Subject
  let registry: JobRegistry
  const warn = vi.fn()
  const logger = { debug: () => {}, info: () => {}, warn, error: () => {} }
  beforeAll(async () => {
    subject = await open()
    registry = new JobRegistry({ storage: subject.storage, logger })
  })
  afterAll(async () => {
    await registry.close()
    await subject.close()
  })

  async function begin(id: string): Promise<ExecutionRecord> {
    const { execution } = await subject.storage.begin({
      type: 'test',
      id,
      state: 'running',
      node: 'n',
      lease: 3_600_000,
    })
    return execution
  }

  test.each(ended)('of an ended execution, which has %s', async (what, set, status) => {
    const before = await begin(`before ${what}`)
    await subject.storage.finish(before, { state: 'successful' })
    const execution = await begin(what)
    await subject.storage.finish(execution, { state: 'successful', count: 3, lastId: 'a', detail: { a: 1 } })
    await subject.tamper(what, set)
    const hits = await registry.search({ size: 1000 })
    expect(hits.hits.length).toBe(hits.total)
    expect((await registry.search({ type: 'test', size: 1000 })).hits.map(({ id }) => id)).toContain(before.id)
    expectStatus(
      hits.hits.find(({ id }) => id === what),
      status,
    )
    expect(hits.hits.find(({ id }) => id === before.id)).toMatchObject({ state: 'successful' })
    expectStatus(await registry.status('test', what), status)
    expect(await registry.running('test')).toEqual([])
  })

  test.each(live)('of a live execution, which has %s', async (what, set, status) => {
    const others = await begin(`beside ${what}`)
    const execution = await begin(what)
    await subject.tamper(what, set)
    expectStatus(await registry.status('test', what), status)
    expect((await registry.running('test')).map(({ id }) => id)).toContain(others.id)
    expect(await registry.abort('test', others.id, { timeout: 0 })).toMatchObject({ state: 'aborting' })
    expect(await subject.storage.finish(others, { state: 'aborted' })).toMatchObject({ state: 'aborted' })
    await subject.storage.finish(execution, { state: 'aborted' })
    await subject.tamper(what, `state = 'aborted', end_time = 1`)
  })

  test.each([
    ['a state of a later version', `state = 'paused'`],
    ['the state of one that has ended', `state = 'successful'`],
    ['no node', `claimed_by = ''`],
    ['a lease that ran out before there were dates', 'lease_until = -9223372036854775807'],
    ['an epoch that no number holds', 'epoch = 9223372036854775807'],
    ['no lease', 'lease_until = null'],
    ['a start that no date has', 'start_time = 9223372036854775807'],
  ])('of a live execution, whose lease ran out, which has %s', async (what, set) => {
    const id = `dead, ${what}`
    await begin(id)
    await subject.tamper(id, `lease_until = 1, ${subject.shortLease}`)
    await subject.tamper(id, set)
    expect(await registry.status('test', id)).toMatchObject({ state: 'error' })
    expect((await registry.running('test')).map(({ id }) => id)).not.toContain(id)
    expect((await begin(id)).state).toBe('running')
  })

  test('of a live execution that has an end ends it, and lets no other begin before its lease is over', async () => {
    const execution = await begin('live and ended')
    await subject.tamper('live and ended', 'end_time = 5')
    expect(await registry.status('test', 'live and ended')).toMatchObject({ state: 'error' })
    const again = { type: 'test', id: 'live and ended', state: 'running', node: 'other', lease: 60_000 } as const
    expect(await subject.storage.begin(again)).toMatchObject({ started: false })
    expect(await subject.storage.renew(execution, { lease: 60_000 })).toBeUndefined()
    expect(await subject.storage.run(execution)).toBeUndefined()
    expect(await subject.storage.finish(execution, { state: 'successful' })).toBeUndefined()
    await subject.tamper('live and ended', 'lease_until = 1')
    expect(await subject.storage.begin(again)).toMatchObject({ started: true })
  })

  test('of a live execution with a lease that no date has is ended, with and without an end', async () => {
    for (const end of ['null', '5', '9223372036854775807']) {
      const id = `lease for ever, end ${end}`
      await begin(id)
      await subject.tamper(id, `lease_until = 9223372036854775807, end_time = ${end}, ${subject.shortLease}`)
      expect(await registry.status('test', id)).toMatchObject({ state: 'error' })
      const again = { type: 'test', id, state: 'running', node: 'other', lease: 60_000 } as const
      expect(await subject.storage.begin(again), end).toMatchObject({ started: true })
    }
  })

  test('of a queued execution that has an end is claimed by no node', async () => {
    const waiting = { type: 'test', id: 'queued and ended', state: 'queued', node: null, lease: null } as const
    const { execution } = await subject.storage.begin(waiting)
    await subject.tamper('queued and ended', 'end_time = 5')
    expect(await subject.storage.claim(execution, { node: 'n', lease: 60_000 })).toBeUndefined()
    expect(await subject.storage.begin(waiting)).toMatchObject({ started: true })
  })

  test('of an ended execution that is made live again harms no other', async () => {
    const execution = await begin('ended once')
    await subject.storage.finish(execution, { state: 'successful' })
    await subject.tamper('ended once', `state = 'running', end_time = null, lease_until = 1, ${subject.shortLease}`)
    expect(await registry.status('test', 'ended once')).toMatchObject({ state: 'error' })
    const found = await registry.search({ type: 'test', id: 'ended once' })
    expect(found.hits.length).toBe(found.total)
  })

  test('of a live execution of a state of a later version is moved by an abort, or refused', async () => {
    await begin('to abort')
    await subject.tamper('to abort', `state = 'paused'`)
    const aborted = await registry.abort('test', 'to abort', { timeout: 0 })
    expect(['aborting', 'running']).toContain(aborted?.state)
    await subject.tamper('to abort', `state = 'aborted', end_time = 1`)
  })

  test.each(['start_time = 281474976710656', 'start_time = 8640000000000000'])(
    'of an ended execution, with %s, does not keep the job from starting',
    async (set) => {
      const before = await begin(set)
      await subject.storage.finish(before, { state: 'successful' })
      await subject.tamper(set, set)
      expect((await begin(set)).state).toBe('running')
    },
  )

  test.each([
    ['another id', `id = 'victim'`],
    ['an id that is too long', `id = '${'x'.repeat(10_000)}'`],
  ])('that got %s is not taken for that job', async (what, set) => {
    const id = `renamed to ${what}`
    registry.define({ type: 'test', id, run: () => {} })
    expect(await (await registry.start('test', id)).finished).toMatchObject({ state: 'successful' })
    await subject.tamper(id, set)
    const started = await registry.start('test', id).then(
      async ({ finished }) => (await finished).id,
      ({ code }) => code,
    )
    const seen = await registry.status('test', id).then(
      (status) => status?.id,
      ({ code }) => code,
    )
    expect([id, 'storage']).toContain(started)
    expect(seen).toBe(started)
  })

  test('is logged at a bounded rate', () => {
    expect(warn.mock.calls.length).toBeLessThan(25)
    expect(warn).toHaveBeenCalledWith(
      expect.objectContaining({ type: 'test', fields: ['state'] }),
      expect.stringContaining('invalid execution'),
    )
  })
}

describe('a tampered row of a file', () => {
  tampering(async () => {
    const folder = await mkdtemp(join(tmpdir(), 'headgate-tampered-'))
    const path = join(folder, 'jobs.db')
    const storage = sqliteStorage({ path })
    await storage.live({ type: 'test' })
    const database = openDatabase(path)
    return {
      storage,
      shortLease: 'epoch = epoch',
      async tamper(id, set) {
        for (const table of ['headgate_job', 'headgate_log']) {
          database.prepare(`update ${table} set ${set} where type = 'test' and id = ?`).run(id)
        }
      },
      async close() {
        database.close()
        await rm(folder, { recursive: true })
      },
    }
  })
})

describePostgres('a tampered row of Postgres', (server) => {
  tampering(async () => {
    const pool = new pg.Pool({ connectionString: server.url })
    return {
      storage: postgresStorage({ connectionString: server.url }),
      shortLease: 'lease = 0',
      async tamper(id, set) {
        await pool.query(`update headgate.job set ${set} where type = 'test' and id = $1`, [id])
        // The log has not all columns, and refuses an execution without an end.
        await pool.query(`update headgate.log set ${set} where type = 'test' and id = $1`, [id]).catch(() => {})
      },
      close: () => pool.end(),
    }
  })
})

describePostgres('a tampered tick in Postgres', (server) => {
  test('of an orphan keeps no other from being resumed', async () => {
    const pool = new pg.Pool({ connectionString: server.url })
    const storage = postgresStorage({ pool, schema: 'ticks' })
    for (const id of ['broken', 'sound']) {
      const { execution } = await storage.begin({ type: 'test', id, state: 'running', node: 'n', lease: 60_000 })
      await storage.finish(execution, { state: 'aborted', isOrphaned: true })
    }
    await pool.query(`update ticks.job set tick = 9223372036854775807 where id = 'broken'`)
    const registry = new JobRegistry({ storage, lease: 300 })
    onTestFinished(async () => {
      await registry.close()
      await pool.end()
    })
    for (const id of ['broken', 'sound']) registry.define({ type: 'test', id, run: () => {}, resume: 'auto' })
    for (const id of ['broken', 'sound']) {
      await vi.waitFor(
        async () => expect(await registry.status('test', id)).toMatchObject({ state: 'successful' }),
        20_000,
      )
    }
  })
})

describePostgres('a tampered key in Postgres', (server) => {
  test('under which no start finds the execution, ends it', async () => {
    const pool = new pg.Pool({ connectionString: server.url })
    const storage = postgresStorage({ pool, schema: 'keys' })
    const registry = new JobRegistry({ storage, lease: 300 })
    onTestFinished(async () => {
      await registry.close()
      await pool.end()
    })
    registry.define({
      type: 'test',
      id: 'a',
      run: ({ signal }) => once(signal, 'abort').then(() => signal.throwIfAborted()),
    })
    const { finished } = await registry.start('test', 'a')
    await pool.query(`update keys.job set key = ''`)
    expect(await finished).toMatchObject({
      state: 'error',
      error: ['The storage does not have this execution any more.'],
    })
  })
})

describePostgres('a tampered lease in Postgres', (server) => {
  test.each([
    ['no end', 'lease_until = null, lease = 0', 'error'],
    ['neither an end nor a length', 'lease_until = null, lease = null', 'error'],
    ['a length that no time can be added to', 'lease = 9223372036854775807', 'running'],
  ])('that has %s concerns no other execution', async (_, set, state) => {
    const pool = new pg.Pool({ connectionString: server.url })
    const storage = postgresStorage({ pool })
    const registry = new JobRegistry({ storage })
    onTestFinished(async () => {
      await pool.query('delete from headgate.job')
      await registry.close()
      await pool.end()
    })
    const begin = (id: string) => storage.begin({ type: 'test', id, state: 'running', node: 'n', lease: 60_000 })
    await begin('broken')
    const { execution } = await begin('sound')
    await pool.query(`update headgate.job set ${set} where id = 'broken'`)
    expect((await registry.running('test')).map(({ id }) => id)).toContain('sound')
    expect((await registry.search({ state: 'running' })).hits.map(({ id }) => id)).toContain('sound')
    await registry.search()
    await storage.orphans()
    expect(await registry.status('test', 'broken')).toMatchObject({ state })
    expect(await storage.finish(execution, { state: 'successful' })).toMatchObject({ state: 'successful' })
  })
})

/** What may be notified by anybody who can connect. */
const notifications = [
  ['x', ['test', 'b', 'u', ['running']]],
  ['x', ['test', 'b', 'u', 'paused']],
  ['x', ['test', 'b', 'u', 'constructor']],
  ['x', ['test', 'b', 'u', { toString: null }]],
  ['x', [{ length: 1 }, ['b'], null, 'running']],
  ['x', [1, 2, 3, 4]],
  ['x', ['', '', '', 'running']],
  ['x', null, 'test', [], ['test']],
  [['x'], ['test', 'b', 'u', 'running']],
  {},
  null,
  'x',
  5,
]

describePostgres('a notification that is not valid', (server) => {
  test('takes nobody down, and hides none that are', async () => {
    const storage = postgresStorage({ connectionString: server.url, pollInterval: 60_000 })
    const other = postgresStorage({ connectionString: server.url })
    const registry = new JobRegistry({ storage })
    const heard: string[] = []
    registry.on('status', ({ id, status }) => heard.push(`${id} ${status.state}`), { scope: 'cluster' })
    const pool = new pg.Pool({ connectionString: server.url })
    const name = (id: string) => ({ type: 'test', id, state: 'running', node: 'n', lease: 60_000 }) as const
    await other.begin(name('a'))
    registry.define({ type: 'test', id: 'z', resume: 'auto', run: () => {} })
    for (const payload of [...notifications.map((one) => JSON.stringify(one)), '', '[', 'x', '[]']) {
      await pool.query('select pg_notify($1, $2)', ['headgate_headgate', payload])
    }
    const { execution } = await other.begin(name('b'))
    await other.finish(execution, { state: 'successful' })
    await vi.waitFor(() => expect(heard).toContain('b successful'), 10_000)
    await registry.close()
    await other.close?.()
    await pool.end()
  }, 30_000)
})

test('a storage that gives what is no execution is an error, and takes nobody down', async () => {
  const inner = memoryStorage()
  const { execution } = await inner.begin({ type: 'test', id: 'a', state: 'running', node: 'n', lease: 60_000 })
  const odd = [null, 5, [], {}, { ...execution, executionId: 'x' }, { ...execution, type: ['test'] }, new Proxy({}, {})]
  const storage: JobStorage = {
    begin: async () => ({ started: true, execution: {} as never }),
    renew: async () => undefined,
    claim: async () => undefined,
    run: async () => undefined,
    finish: async () => undefined,
    requestAbort: async () => undefined,
    find: () => {
      throw new Error('at once')
    },
    live: async () => ({ hits: [execution, ...(odd as never[])] }),
    orphans: async () => ({ hits: odd as never[] }),
    search: async () => ({ total: 8, hits: [...(odd as never[]), execution] }),
  }
  const registry = new JobRegistry({ storage })
  registry.define({ type: 'test', id: 'a', run: () => {} })
  expect((await registry.running('test')).map(({ id }) => id)).toEqual(['a'])
  expect((await registry.search()).hits.map(({ id }) => id)).toEqual(['a'])
  await expect(registry.status('test', 'a')).rejects.toMatchObject({ code: 'storage' })
  await expect(registry.start('test', 'a')).rejects.toMatchObject({ code: 'storage' })
  await registry.close()
})

describe('a tampered row of a file', () => {
  async function open() {
    const folder = await mkdtemp(join(tmpdir(), 'headgate-tampered-'))
    const path = join(folder, 'jobs.db')
    const storage = sqliteStorage({ path })
    await storage.live({ type: 'test' })
    const database = openDatabase(path)
    onTestFinished(async () => {
      database.close()
      await storage.close?.()
      await rm(folder, { recursive: true })
    })
    const begin = (id: string) =>
      storage.begin({ type: 'test', id, state: 'running', node: 'n', lease: 60_000 }).then(({ execution }) => execution)
    const tamper = (id: string, set: string) => database.prepare(`update headgate_job set ${set} where id = ?`).run(id)
    return { storage, begin, tamper }
  }

  test.each(['last_id', 'checkpoint', 'claimed_by', 'detail', 'state', 'resumed_from', 'type', 'execution_id'])(
    'that is not valid UTF-8 in %s ends no process, and harms no other job',
    async (column) => {
      const { storage, begin, tamper } = await open()
      const registry = new JobRegistry({ storage })
      const execution = await begin('a')
      const other = await begin('b')
      tamper('a', `${column} = cast(x'ff41' as text)`)
      expect(await registry.search({ state: 'running' })).toMatchObject({ total: expect.any(Number) })
      expect((await registry.running('test')).map(({ id }) => id)).toContain('b')
      const asked = registry.status('test', 'a')
      if (column === 'execution_id') await expect(asked).rejects.toMatchObject({ code: 'storage' })
      else await asked
      tamper('a', 'lease_until = 1')
      tamper('\ufffdA', 'lease_until = 1')
      expect((await registry.running('test')).map(({ id }) => id)).toEqual(['b'])
      await storage.finish(execution, { state: 'aborted' })
      expect(await storage.finish(other, { state: 'successful' })).toMatchObject({ state: 'successful' })
    },
  )

  test('keeps a checkpoint that is no JSON as it is: the job must not start over', async () => {
    const { storage, begin, tamper } = await open()
    const before = await begin('a')
    await storage.finish(before, { state: 'error', error: ['e'], checkpoint: 5 })
    tamper('a', `checkpoint = 'not JSON'`)
    for (let run = 0; run < 2; run++) {
      const registry = new JobRegistry({ storage })
      expect((await registry.status('test', 'a'))?.state).toBe('error')
      const execution = await begin('a')
      expect(execution.checkpoint).toBeDefined()
      await storage.finish(execution, { state: 'error', error: ['e'] })
    }
  })

  test('of a node that is no JSON lets its execution end', async () => {
    const { storage, begin, tamper } = await open()
    const execution = await begin('a')
    tamper('a', `claimed_by = 'x'`)
    expect(await storage.renew(execution, { lease: 1000, count: 2 })).toMatchObject({ count: 2 })
    expect(await storage.finish(execution, { state: 'successful' })).toMatchObject({ state: 'successful' })
  })

  test('with an id at the end of time fails the start of its job, and of no other', async () => {
    const { storage, begin, tamper } = await open()
    await storage.finish(await begin('a'), { state: 'successful' })
    tamper('a', `execution_id = 'affffffff-ffff-7fff-bfff-ffffffffffff'`)
    await expect(begin('a')).rejects.toMatchObject({ code: 'storage', message: expect.stringContaining('affffffff') })
    expect((await begin('b')).state).toBe('running')
  })

  test('with the highest number of a change keeps no other from changing, and from being told', async () => {
    const { storage, begin, tamper } = await open()
    const told: string[] = []
    await begin('a')
    tamper('a', 'changed = 9223372036854775807')
    storage.watch?.(({ id, state }) => told.push(`${id} ${state}`))
    const other = await begin('b')
    await storage.finish(other, { state: 'successful' })
    await vi.waitFor(() => expect(told).toContain('b successful'))
  })
})
