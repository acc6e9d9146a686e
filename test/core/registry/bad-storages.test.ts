import { JobRegistry, type JobStorage, memoryStorage } from 'headgate'
import { type ExecutionRecord, systemClock } from 'headgate/adapter'
import { describe, expect, it } from 'vitest'
import { checkedStorage, featureOf } from '../../../src/core/storage/index.js'
import { plainStorage } from '../../support/plain-storage.js'

const uuid = '01900000-0000-7000-8000-000000000000'

/** A registry over a storage of which one method answers as it should not. */
function open(over: Partial<Record<keyof JobStorage, (...args: never[]) => unknown>>): JobRegistry {
  const { watch: _, ...own } = plainStorage(memoryStorage())
  const registry = new JobRegistry({ storage: { ...own, ...over } as never })
  registry.define({ type: 'test', id: 'a', run: () => {} })
  return registry
}

describe('a storage', () => {
  it.each<[string, () => unknown, string]>([
    ['nothing', () => undefined, 'nothing'],
    ['a promise', () => Promise.resolve(() => {}), 'a promise'],
    ['a promise that rejects', () => Promise.reject(new Error('away')), 'a promise'],
  ])('whose `watch` gives %s is refused', async (_, stop, came) => {
    const expected = `Expected watch() of the storage to return the function that stops it, got ${came}.`
    expect(() => open({ watch: stop })).toThrow(expected)
  })

  it('whose `watch` throws is refused', () => {
    const watch = () => {
      throw new TypeError('no')
    }
    const failure = { code: 'storage', message: 'The storage could not answer `watch`.' }
    expect(() => open({ watch })).toThrow(expect.objectContaining(failure))
  })

  it('whose `watch` gives other fields with a change passes on those of the contract', () => {
    const change = { type: 'test', id: 'a', partition: 1, executionId: `a${uuid}`, state: 'running' }
    const watch = (listener: (change: object) => void) => {
      listener({ ...change, connection: 'x' })
      listener({ ...change, state: 'unknown' })
      return () => {}
    }
    const options = { clock: systemClock, logger: { warn: () => {} } as never, timeout: 1000 }
    const seen: unknown[] = []
    checkedStorage({ ...plainStorage(memoryStorage()), watch } as never, options).watch?.((it) => void seen.push(it))
    expect(seen).toEqual([change])
  })

  it('whose `watch` gives a function that throws can be closed', async () => {
    const registry = open({
      watch: () => () => {
        throw new Error('no')
      },
    })
    expect(await registry.close()).toBeUndefined()
  })

  it.each<[keyof JobStorage, unknown, (registry: JobRegistry) => Promise<unknown>, string]>([
    ['begin', undefined, (registry) => registry.start('test', 'a'), 'begin() of the storage to return `started` and'],
    [
      'begin',
      { started: true },
      (registry) => registry.start('test', 'a'),
      'begin() of the storage to return `started`',
    ],
    ['find', 5, (registry) => registry.status('test', 'a'), 'find() of the storage to return an execution or nothing'],
    ['find', {}, (registry) => registry.status('test', 'a'), 'find() of the storage to return an execution or nothing'],
    [
      'requestAbort',
      [],
      (registry) => registry.abort('test', 'a'),
      'requestAbort() of the storage to return an execution',
    ],
    [
      'live',
      undefined,
      (registry) => registry.running('test'),
      'live() of the storage to return `hits`, an array of up to 1000',
    ],
    [
      'live',
      [],
      (registry) => registry.running('test'),
      'live() of the storage to return `hits`, an array of up to 1000',
    ],
    [
      'live',
      { hits: [], next: 'a' },
      (registry) => registry.running('test'),
      'live() of the storage to return `hits`, an array',
    ],
    // The same page again and again would be read for ever.
    ['live', { hits: [], next: `a${uuid}` }, (registry) => registry.running('test'), 'and a later `next`'],
    ['search', null, (registry) => registry.search(), 'search() of the storage to return the number `total` and'],
    [
      'search',
      { hits: [] },
      (registry) => registry.search(),
      'search() of the storage to return the number `total` and',
    ],
    ['search', { total: 1, hits: 1 }, (registry) => registry.search(), 'search() of the storage to return the number'],
  ])('whose `%s` gives %j is named', async (method, answer, call, message) => {
    const registry = open({ [method]: async () => answer })
    await expect(call(registry)).rejects.toMatchObject({ code: 'storage', message: expect.stringContaining(message) })
    await registry.close()
  })

  // Reading an array of any length would block the process.
  it.each<[keyof JobStorage, (registry: JobRegistry) => Promise<unknown>, string]>([
    ['live', (registry) => registry.running('test'), 'to return `hits`, an array of up to 1000,'],
    ['search', (registry) => registry.search(), '`hits`, an array of up to 10,'],
    ['search', (registry) => registry.search({ size: 20 }), '`hits`, an array of up to 20,'],
  ])('whose `%s` gives a longer page than it was asked for is named', async (method, call, message) => {
    const registry = open({ [method]: async () => ({ total: 1e9, hits: Array(1e9) }) })
    await expect(call(registry)).rejects.toMatchObject({ code: 'storage', message: expect.stringContaining(message) })
    await registry.close()
  })
})

const ended: ExecutionRecord = {
  type: 'test',
  id: 'a',
  executionId: `a${uuid}`,
  state: 'successful',
  epoch: 1,
  node: 'n',
  startTime: 1,
  endTime: 2,
  leaseUntil: 1,
  count: 0,
}
const live: ExecutionRecord = { ...ended, state: 'running', leaseUntil: 10 }
delete live.endTime
const long = 'x'.repeat(5_000_000)

/** What a storage gives in place of the execution that it was asked for. */
const others: [what: string, fields: Partial<ExecutionRecord>][] = [
  ['another job', { id: 'victim', executionId: `victim${uuid}` }],
  ['another type', { type: 'other' }],
  ['a partition', { partition: 0 }],
  ['a job whose id is too long', { id: long, executionId: `${long}${uuid}` }],
  ['an execution id of another job', { executionId: `victim${uuid}` }],
  ['an execution id with control characters', { executionId: `a\u001b[2J\r\nFORGED${uuid}` }],
  ['an execution id that is too long', { executionId: `${long}${uuid}` }],
]

describe('a storage that answers about', () => {
  const error = {
    code: 'storage',
    // The row may be at fault, which another program has changed, or the adapter.
    message: expect.stringMatching(
      /^Expected \w+\(\) of the storage to return .{1,60}, got one with another or an invalid `.{1,40}\. Another program may have changed its row, or the storage has a fault\.$/,
    ),
  }

  it.each(others)('%s, and not the job that was asked for, is an error', async (_, fields) => {
    const other = async () => ({ ...ended, ...fields })
    const begin = async () => ({ started: true, execution: { ...live, ...fields } })
    const registry = open({ find: other, requestAbort: other, begin })
    await expect(registry.status('test', 'a')).rejects.toMatchObject(error)
    await expect(registry.abort('test', 'a')).rejects.toMatchObject(error)
    // The job does not stay as if it ran.
    for (let n = 0; n < 2; n++) await expect(registry.start('test', 'a')).rejects.toMatchObject(error)
    await registry.close()
  })

  it.each(others.filter(([what]) => what !== 'a partition'))(
    '%s in a list keeps the others, and is logged in a bounded entry',
    async (_, fields) => {
      const entries: object[] = []
      const logger = { debug() {}, info() {}, error() {}, warn: (details: object) => void entries.push(details) }
      const list = async () => ({ total: 2, hits: [{ ...live, ...fields }, live] })
      const storage = checkedStorage({ ...memoryStorage(), live: list, search: list } as never, {
        clock: systemClock,
        logger,
        timeout: 5000,
      })
      expect((await storage.live({ type: 'test', id: 'a' })).hits).toEqual([live])
      expect((await storage.search({ type: 'test', id: 'a' })).hits).toEqual([live])
      expect(entries).toHaveLength(2)
      expect(JSON.stringify(entries).length).toBeLessThan(5000)
    },
  )

  it.each(['renew', 'claim', 'run', 'finish'] as const)('another execution from `%s` is an error', async (method) => {
    const logger = { debug() {}, info() {}, error() {}, warn() {} }
    const other = async () => ({ ...live, executionId: `a${uuid}` })
    const storage = checkedStorage({ ...memoryStorage(), [method]: other } as never, {
      clock: systemClock,
      logger,
      timeout: 5000,
    })
    const token = { executionId: `a01900000-0000-7000-8000-000000000001`, epoch: 1 }
    await expect(storage[method](token, {} as never)).rejects.toMatchObject(error)
    expect(await storage[method]({ ...token, executionId: live.executionId }, {} as never)).toMatchObject(live)
  })

  it('a page that throws when it is read is an error', async () => {
    const odd = new Proxy(live, {
      get() {
        throw new Error('odd')
      },
    })
    const registry = open({ live: async () => ({ hits: [odd] }) })
    const message = 'Could not read the answer of live() of the storage.'
    await expect(registry.running('test')).rejects.toMatchObject({ code: 'storage', message })
    await registry.close()
  })
})

describe('the optional members of a storage', () => {
  const options = { clock: systemClock, logger: { warn: () => {} } as never, timeout: 1000 }
  const checked = (over: object) => checkedStorage({ ...plainStorage(memoryStorage()), ...over }, options)
  const a = { type: 'test', id: 'a' }
  const other = { ...ended, id: 'victim', executionId: `victim${uuid}` }

  it.each<[string, object, (storage: JobStorage) => Promise<unknown> | undefined, string]>([
    [
      'latest',
      { latest: async () => ({}) },
      (storage) => storage.latest?.([a]),
      'latest() of the storage to return an',
    ],
    ['latest', { latest: async () => Array(1e9) }, (storage) => storage.latest?.([a]), 'an array of up to 1,'],
    [
      'reset',
      { reset: async () => true },
      (storage) => storage.reset?.('test', 'a', { checkpoint: 1 }),
      '`reset`, and',
    ],
    [
      'reset',
      { reset: async () => ({ reset: true, execution: live }) },
      (storage) => storage.reset?.('test', 'a', { checkpoint: 1 }),
      'a valid `execution` of the job',
    ],
    [
      'reset',
      { reset: async () => ({ reset: false, execution: { ...live, id: 'victim' } }) },
      (storage) => storage.reset?.('test', 'a', { checkpoint: 1 }),
      'a valid `execution` of the job',
    ],
    [
      'pauses.pause',
      { pauses: { pause: async () => ({ since: 1 }) } },
      (storage) => storage.pauses?.pause(a, {}),
      'pauses.pause() of the storage to return the pause',
    ],
    [
      'pauses.unpause',
      { pauses: { unpause: async () => undefined } },
      (storage) => storage.pauses?.unpause(a),
      'pauses.unpause() of the storage to return true or false',
    ],
    [
      'pauses.list',
      { pauses: { list: async () => undefined } },
      (storage) => storage.pauses?.list(),
      'pauses.list() of the storage to return an array',
    ],
    [
      'ends.claim',
      { ends: { claim: async () => [ended, ended] } },
      (storage) => storage.ends?.claim({ node: 'n', lease: 1, size: 1 }),
      'ends.claim() of the storage to return an array of up to 1,',
    ],
  ])('whose `%s` gives a wrong answer are named', async (_, over, call, message) => {
    await expect(call(checked(over))).rejects.toMatchObject({
      code: 'storage',
      message: expect.stringContaining(message),
    })
  })

  it('give no execution that was not asked for, and no invalid pause', async () => {
    const pauses = [
      { ...a, since: 1, reason: 'why', by: 5, more: true },
      { since: 2 },
      { type: 'test', since: 3 },
      { ...a, since: Number.NaN },
      null,
    ]
    const storage = checked({
      latest: async () => [ended, other, { ...ended, partition: 0 }, {}],
      ends: { claim: async () => [ended, live, {}], settle: async () => {} },
      pauses: { list: async () => pauses },
    })
    expect(await storage.latest?.([a, { type: 'test', id: 'b' }, a, a])).toEqual([ended])
    expect(await storage.ends?.claim({ node: 'n', lease: 1, size: 10 })).toEqual([ended])
    expect(await storage.pauses?.list()).toEqual([{ ...a, since: 1, reason: 'why' }, { since: 2 }])
  })

  it('are named when the storage does not have them', () => {
    const { pauses: _, ...plain } = plainStorage(memoryStorage())
    const storage = checkedStorage(plain, options)
    expect(featureOf(storage, 'latest', 'registry.jobs()')).toBe(storage.latest)
    expect(() => featureOf(storage, 'pauses', 'registry.pause()')).toThrow(
      expect.objectContaining({
        code: 'not_supported',
        message: 'The storage does not have `pauses`, which `registry.pause()` needs.',
      }),
    )
  })
})
