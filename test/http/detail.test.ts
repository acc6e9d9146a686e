import {
  type IngestionDetail,
  JobsClient,
  type LoggedStatus,
  type RemoteDetail,
  type RemoteStatus,
} from 'headgate/client'
import { describe, expect, expectTypeOf, test, vi } from 'vitest'
import type { ExecutionRecord } from '../../src/adapter.js'
import { toStatus } from '../../src/core/model/status.js'
import { toNodeHandler } from '../../src/http/mounts/node.js'
import { type JobStatus, memoryStorage } from '../../src/index.js'
import { heldJob } from '../../src/testing/index.js'
import { describedHandler } from './described-handler.js'
import { base, fixedStorage, listen, newRegistry, record, sendTo } from './support.js'

const checkpoint = { page: 2, token: 'hunter22' }
const shownCheckpoint = { page: 2, token: '***' }

/** A registry with a job that has reported everything, its API on real HTTP, and a client. */
async function served(options = {}) {
  const registry = newRegistry({ node: 'worker-1', progressInterval: 0, ...options })
  const held = heldJob({ type: 'report', id: 'daily', resume: 'manual' })
  registry.define(held.job)
  const { port } = await listen(toNodeHandler(describedHandler(registry)))
  const client = new JobsClient({ url: `http://127.0.0.1:${port}${base}` })
  const send = sendTo(port)
  const begin = async () => {
    const execution = await registry.start('report', 'daily', { params: { customer: 'acme', password: 'abc' } })
    const context = await held.running
    context.log('half')
    context.progress({ count: 3, detail: { step: 2, apiKey: 'k-1', seen: ['a'] }, checkpoint })
    await context.save()
    return execution
  }
  return { registry, held, send, client, begin, get: async (path: string) => JSON.parse((await send(path)).text) }
}

/** The statuses of an answer, without their details, and the details. */
function apart(body: unknown): { plain: unknown; details: RemoteDetail[] } {
  const details: RemoteDetail[] = []
  const plain = JSON.parse(JSON.stringify(body), (name, value) => {
    if (name !== 'detail') return value
    details.push(value)
    return undefined
  })
  return { plain, details }
}

describe('detail=true', () => {
  const calls = [
    `${base}/report/daily`,
    `${base}/report`,
    `${base}/_search?state=running`,
    base,
    `${base}/report/daily/_abort?timeout=0`,
    `${base}/report/daily/_abort`,
    `${base}/report/daily/_reset`,
    `${base}/report/daily/_start`,
  ]

  test('adds one key to the statuses of every call, and changes nothing else', async () => {
    const { begin, send, held } = await served()
    const { executionId } = await begin()
    for (const path of calls.slice(0, 4)) {
      const [plain, detailed] = await Promise.all([
        send(path),
        send(`${path}${path.includes('?') ? '&' : '?'}detail=true`),
      ])
      const { plain: rest, details } = apart(JSON.parse(detailed.text))
      expect(JSON.stringify(rest), path).toBe(plain.text)
      expect(details, path).toEqual([
        {
          execution_id: executionId,
          node: 'worker-1',
          lease: { until: expect.any(Number) },
          params: { customer: 'acme', password: '***' },
          log: [expect.stringMatching(/Z half$/)],
          progress: { step: 2, apiKey: '***', seen: ['a'] },
          checkpoint: shownCheckpoint,
        },
      ])
    }
    for (const path of calls.slice(4)) {
      const { text } = await send(`${path}${path.includes('?') ? '&' : '?'}detail=true`, { method: 'POST' })
      const { plain, details } = apart(JSON.parse(text))
      expect([path, plain, details]).toMatchObject([path, { found: true }, [{ node: 'worker-1' }]])
      const isReset = path.endsWith('_reset') || path.endsWith('_start')
      expect(details[0]?.checkpoint, path).toEqual(isReset ? undefined : shownCheckpoint)
    }
    held.finish()
  })

  test('shows why an execution was aborted, and which one it resumes', async () => {
    const orphan = record({ executionId: 'postgres-events019a0000-0000-7000-8000-000000000001' })
    const storage = fixedStorage(
      record({ state: 'aborted', endTime: 1, abortReason: 'ann: pw password=abc', resumedFrom: orphan.executionId }),
    )
    const { get } = await served({ storage })
    expect((await get(`${base}/ingestion/postgres-events?detail=true`)).status.detail).toEqual({
      execution_id: expect.any(String),
      node: 'n',
      resumed_from: orphan.executionId,
      abort_reason: 'ann: pw password=***',
    })
  })

  test('a queued execution stays hidden', async () => {
    const { get } = await served({ storage: fixedStorage(record({ state: 'queued', node: null, leaseUntil: null })) })
    expect(await get(`${base}/ingestion/postgres-events?detail=true`)).not.toHaveProperty('status')
    expect((await get(`${base}/ingestion/postgres-events?detail=true&include_queued=true`)).status.detail).toEqual({
      execution_id: expect.any(String),
    })
  })

  test.each(['yes', '', '1'])('%j is refused', async (value) => {
    const { send } = await served()
    const { status, text } = await send(`${base}/report/daily?detail=${value}`)
    expect(status).toBe(400)
    expect(text).toContain('Expected `detail` to be true or false')
  })
})

describe('a detail is bounded', () => {
  const long = 'x'.repeat(1_000_000)
  const pairs = Array.from({ length: 100_000 }, (_, n) => [n])
  const deep = JSON.parse(`${'{"a":'.repeat(90)}1${'}'.repeat(90)}`)
  const lines = Array.from({ length: 100 }, (_, n) => `${n} ${'l'.repeat(900)}`)
  const huge: Partial<ExecutionRecord> = {
    detail: { first: 1, long, pairs, deep, last: 2 },
    params: { a: { b: long } },
    checkpoint: { first: 1, long },
    logTail: lines,
  }
  const detailOf = async (given: Partial<ExecutionRecord>) => {
    const { send, client } = await served({ storage: fixedStorage(record(given)) })
    const { text } = await send(`${base}/ingestion/postgres-events?detail=true`)
    const status = await client.status('ingestion', 'postgres-events', { detail: true })
    return { text, detail: JSON.parse(text).status.detail, seen: status?.detail }
  }

  test('one of megabytes is cut, says so, and reaches the client', async () => {
    const { text, detail, seen } = await detailOf(huge)
    expect(text.length).toBeLessThan(133_000)
    expect(detail.progress).toMatchObject({ first: 1, '…': '3 more are left out.' })
    expect(detail.progress.long).toMatch(/^x+… \(shortened from 1000000 characters\)$/)
    expect(detail.params.a.b).toContain('(shortened from 1000000 characters)')
    expect(detail.checkpoint).toMatchObject({ first: 1, long: expect.stringContaining('(shortened from 1000000') })
    expect(detail.log[0]).toBe('64 earlier lines are left out.')
    expect(detail.log.at(-1)).toBe(lines.at(-1))
    expect(seen?.progress).toEqual(detail.progress)
  })

  test('a list has so many arrays as a client reads', async () => {
    const { detail, seen } = await detailOf({ detail: { pairs } })
    const shown = detail.progress.pairs
    expect(shown.length).toBeGreaterThan(4)
    expect(shown.at(-1)).toBe(`${100_000 - shown.length + 1} more are left out.`)
    expect(seen?.progress).toEqual(detail.progress)
  })

  test('a deep value ends in a sentence', async () => {
    const { text, seen, detail } = await detailOf({ detail: { long: 'y'.repeat(2000), deep } })
    expect(text).toContain('Left out, as it is nested in more than 16 levels.')
    expect(seen?.progress).toEqual(detail.progress)
  })

  test.each([1, 2, 6, 15])('one that is cut at %i levels keeps its bound, with its sentences', async (levels) => {
    const nest = (level: number): object => ({
      ...(level > 0 && { inner: nest(level - 1) }),
      texts: Array.from({ length: 8000 }, (_, n) => `\u0001 "text" ${n}`),
      long: 'z'.repeat(20_000),
    })
    const { detail } = await detailOf({ detail: nest(levels) as Record<string, unknown> })
    expect(JSON.stringify(detail.progress).length).toBeLessThanOrEqual(65_536)
  })

  test('one of a usual size is whole', async () => {
    const tables = Array.from({ length: 300 }, (_, n) => ({ name: `table_${n}`, rows: n }))
    const { detail } = await detailOf({ detail: { tables }, logTail: ['a', 'b'] })
    expect(detail.progress).toEqual({ tables })
    expect(detail.log).toEqual(['a', 'b'])
  })

  test('lines of a foreign storage that JSON writes longer are bounded too', async () => {
    for (const character of ['\u0001', '"', '\ud800']) {
      const { text, detail } = await detailOf({ logTail: Array(100).fill(character.repeat(900)) })
      expect(text.length).toBeLessThan(34_000)
      expect(detail.log[0]).toMatch(/^\d\d earlier lines are left out\.$/)
    }
  })

  test('secrets in lines that others have written are hidden, also of those that were asked for before', async () => {
    const time = '2026-11-30T12:00:00.000Z '
    const custom = (text: string) => text.replaceAll(/2026|acme/g, '***')
    const logTail = ['a password=hunter22', `${time}at postgres://ann:hunter22@db/shop of acme`, `${time}plain`]
    const { send } = await served({ storage: fixedStorage(record({ logTail })), redact: custom })
    for (let times = 0; times < 2; times++) {
      const { text } = await send(`${base}/ingestion/postgres-events?detail=true`)
      expect(JSON.parse(text).status.detail.log).toEqual([
        'a password=***',
        `${time}at postgres://ann:***@db/shop of ***`,
        `${time}plain`,
      ])
    }
  })

  test('redacts a log once, and then only the lines that are new', async () => {
    let redacted = 0
    const redact = (text: string) => {
      if (text.startsWith('step')) redacted++
      return text.replaceAll('acme', '***')
    }
    const steps = (first: number) =>
      Array.from({ length: 100 }, (_, n) => `2026-11-30T12:00:00.000Z step ${first + n} of acme`)
    const stored = record({})
    const { get } = await served({ storage: fixedStorage(stored), redact })
    const readings: [string[], number][] = [
      [steps(0), 100],
      [steps(0), 0],
      [steps(3), 3],
      [steps(3).toReversed(), 99],
      [steps(3).slice(0, 50), 49],
      [[], 0],
    ]
    for (const [n, [logTail, expected]] of readings.entries()) {
      redacted = 0
      Object.assign(stored, { logTail })
      const { log } = (await get(`${base}/ingestion/postgres-events?detail=true`)).status.detail
      expect([n, log, redacted]).toEqual([n, logTail.map((line) => line.replace('acme', '***')), expected])
    }
  })

  test('remembers the logs of a few executions', async () => {
    let redacted = 0
    const redact = (text: string) => {
      if (text.startsWith('step')) redacted++
      return text
    }
    const records = Array.from({ length: 40 }, (_, n) => {
      const uuid = `019a0000-0000-7000-8000-0000000000${10 + n}`
      return record({ id: `job-${n}`, executionId: `job-${n}${uuid}`, logTail: [`step ${n}`] })
    })
    const { get } = await served({ storage: fixedStorage(...records), redact })
    const read = (n: number) => get(`${base}/ingestion/job-${n}?detail=true`)
    for (let n = 0; n < 40; n++) await read(n)
    expect(redacted).toBe(40)
    for (let n = 39; n >= 24; n--) await read(n)
    expect(redacted).toBe(40)
    await read(0)
    expect(redacted).toBe(41)
  })

  test('a secret at the place of the cut is hidden', async () => {
    const url = 'postgres://ann:hunter22@db/shop '
    const { text } = await detailOf({ detail: { urls: url.repeat(10_000) } })
    expect(text).not.toContain('hunter2')
    expect(text).toContain('postgres://ann:***@db/shop')
  })

  test('a name such as __proto__ is a name', async () => {
    const { text } = await detailOf({ detail: JSON.parse('{"__proto__":{"a":1}}') })
    expect(text).toContain('"progress":{"__proto__":{"a":1}}')
  })

  test('a long search streams details', async () => {
    const storage = fixedStorage(
      ...Array.from({ length: 60 }, (_, n) =>
        record({
          executionId: `postgres-events019a0000-0000-7000-8000-0000000000${10 + n}`,
          ...{ state: 'successful', startTime: n, endTime: n, logTail: lines },
        }),
      ),
    )
    const paged = { ...storage, search: pagedSearch(storage.search) }
    const { client, send } = await served({ storage: paged })
    const { hits } = await client.search({ size: 60, detail: true })
    expect(hits.length).toBe(60)
    expect(hits.every(({ detail }) => detail.log?.length === 37)).toBe(true)
    expect((await send(`${base}/_search?size=60&detail=true`)).headers.get('content-length')).toBe(null)
  })
})

/** The search of a storage that knows `searchAfter`. */
function pagedSearch(search: ReturnType<typeof fixedStorage>['search']): typeof search {
  return async ({ searchAfter, size = 10, ...filter }) => {
    const { total, hits } = await search({ ...filter, size: 1000 })
    const from = hits.findIndex(({ executionId }) => executionId === searchAfter) + 1
    return { total, hits: hits.slice(from, from + size) }
  }
}

describe('the client', () => {
  test('gives details in the names of TypeScript', async () => {
    const { begin, client, registry } = await served()
    await begin()
    const status = await client.status('report', 'daily', { detail: true })
    const { executionId, node, lease, params, log, detail } = (await registry.status(
      'report',
      'daily',
    )) as JobStatus & {
      log: string[]
      lease: { until: number }
    }
    const seen = { executionId, node, lease, log, params: { ...params, password: '***' } }
    expect(status?.detail).toEqual({ ...seen, progress: { ...detail, apiKey: '***' }, checkpoint: shownCheckpoint })
    expect((await client.running('report', { detail: true }))[0]?.detail.executionId).toBe(executionId)
    expect((await client.search({ state: 'running', detail: true })).hits[0]?.detail.progress).toMatchObject({
      step: 2,
    })
    expect((await client.jobs({ detail: true }))[0]?.status?.detail.node).toBe('worker-1')
    const aborted = await client.abort('report', 'daily', { reason: 'ann', detail: true })
    expect(aborted?.detail.abortReason).toBe('ann')
    expect((await client.reset('report', 'daily', { detail: true }))?.detail.abortReason).toBe('ann')
    expect((await client.start('report', 'daily', { detail: true })).detail.node).toBe('worker-1')
    expect(await client.status('report', 'daily')).not.toHaveProperty('detail')
    expect(await client.status('report', 'daily', { detail: false })).not.toHaveProperty('detail')
  })

  test('knows by its types which statuses have one', () => {
    const client = new JobsClient({ url: '/jobs' })
    const read = {
      plain: () => client.status('a', 'b'),
      detailed: () => client.status('a', 'b', { detail: true }),
      jobs: () => client.jobs({ detail: true }),
    }
    expectTypeOf(read.plain).returns.resolves.toEqualTypeOf<RemoteStatus | undefined>()
    expectTypeOf(read.detailed).returns.resolves.toEqualTypeOf<(RemoteStatus & { detail: RemoteDetail }) | undefined>()
    expectTypeOf<
      NonNullable<Awaited<ReturnType<typeof read.jobs>>[0]['status']>['detail']
    >().toEqualTypeOf<RemoteDetail>()
  })

  test('has the type of the progress of an ingestion, and of jobs that the client is told of', () => {
    type Of<Progress extends object> = RemoteStatus & { detail: RemoteDetail<Progress> }
    const client = new JobsClient<{ report: { pages: number } }>({ url: 'http://localhost' })
    const detail = true
    const read = {
      start: () => client.start('ingestion', 'b', { detail }),
      status: () => client.status('ingestion', 'b', { detail }),
      running: () => client.running('ingestion', { detail }),
      abort: () => client.abort('ingestion', 'b', { detail, timeout: 0 }),
      reset: () => client.reset('ingestion', 'b', { detail }),
      search: () => client.search({ type: 'ingestion', detail }),
      report: () => client.status('report', 'b', { detail }),
      other: () => client.search({ type: 'other', detail }),
    }
    type Progress = Readonly<IngestionDetail> | undefined
    expectTypeOf<RemoteDetail<IngestionDetail>['progress']>().toEqualTypeOf<Progress>()
    expectTypeOf(read.start).returns.resolves.toEqualTypeOf<Of<IngestionDetail>>()
    expectTypeOf(read.status).returns.resolves.toEqualTypeOf<Of<IngestionDetail> | undefined>()
    expectTypeOf<Awaited<ReturnType<typeof read.running>>[0]['detail']['progress']>().toEqualTypeOf<Progress>()
    expectTypeOf(read.abort).returns.resolves.toEqualTypeOf<Of<IngestionDetail> | undefined>()
    expectTypeOf(read.reset).returns.resolves.toEqualTypeOf<Of<IngestionDetail> | undefined>()
    expectTypeOf<Awaited<ReturnType<typeof read.search>>['hits'][0]['detail']['progress']>().toEqualTypeOf<Progress>()
    expectTypeOf(read.report).returns.resolves.toEqualTypeOf<Of<{ pages: number }> | undefined>()
    expectTypeOf<Awaited<ReturnType<typeof read.other>>['hits'][0]>().toEqualTypeOf<
      LoggedStatus & { detail: RemoteDetail }
    >()
  })

  test.each([
    [undefined],
    [{}],
    [{ execution_id: 'other' }],
    [{ execution_id: 'a1', params: [] }],
    [{ execution_id: 'a1', progress: null }],
    [{ execution_id: 'a1', log: [1] }],
    [{ execution_id: 'a1', node: 5 }],
  ])('refuses the detail %j', async (detail) => {
    const status = { ...toWireStatus(), ...(detail && { detail }) }
    const body = JSON.stringify({ _id: 'a', type: 'copy', found: true, status })
    const client = new JobsClient({ url: 'http://localhost', fetch: async () => new Response(body) })
    await expect(client.status('copy', 'a', { detail: true })).rejects.toMatchObject({ code: 'server' })
  })
})

function toWireStatus() {
  const { startTime, infos, state, count } = toStatus(record({}))
  return { version: 1, id: 'a', is_running: true, start_time: startTime, infos, state, count }
}

test('a detail asks the storage no more than a status', async () => {
  const storage = memoryStorage()
  const find = vi.spyOn(storage, 'find')
  const { get } = await served({ storage })
  await get(`${base}/report/daily`)
  const plain = find.mock.calls.length
  await get(`${base}/report/daily?detail=true`)
  expect(plain).toBeGreaterThan(0)
  expect(find).toHaveBeenCalledTimes(2 * plain)
})
