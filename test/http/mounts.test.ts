import { once } from 'node:events'
import { setTimeout } from 'node:timers/promises'
import { describe, expect, test, vi } from 'vitest'
import type { JobsHandlerOptions } from '../../src/http/index.js'
import { type JobStorage, memoryStorage } from '../../src/index.js'
import { fakeClock, recordEvents } from '../../src/testing/index.js'
import { messagesOf, readerOf } from './_events.js'
import { describedHandler } from './described-handler.js'
import { mounts } from './faces.js'
import { base, defineHeld, fixedStorage, newRegistry, record } from './support.js'

const errorOf = (text: string) => JSON.parse(text).error

describe.each(Object.entries(mounts))('mounted by %s', (mount, open) => {
  async function served(options?: JobsHandlerOptions, storage: JobStorage = memoryStorage()) {
    const registry = newRegistry({ storage })
    const job = defineHeld(registry, 'copy', 'a', { isDeaf: true })
    const send = await open(describedHandler(registry, options))
    return { registry, job, send, events: recordEvents(registry) }
  }

  test('a job is started, seen, aborted and found', async () => {
    const { send, job, events } = await served()
    const post = { method: 'POST' }
    expect((await send(`${base}/copy/a/_start`, post)).status).toBe(201)
    expect((await send(`${base}/copy/a/_start`, post)).status).toBe(409)
    expect((await send(`${base}/copy/a/_abort?wait_for_completion=false`, post)).status).toBe(202)
    job.end()
    await events.waitFor('aborted')
    expect((await send(`${base}/copy/a`)).text).toContain('"state":"aborted"')
    expect((await send(`${base}/_search?type=copy`)).text).toContain('"total":1')
  })

  test.skipIf(mount.includes('2') || mount === 'Next.js')('an absolute URL is answered as its path is', async () => {
    const { send } = await served()
    for (const [path, status] of [
      ['/copy/a', 200],
      ['/copy/a?pretty', 200],
      ['/copy', 200],
      ['/copy/b', 404],
    ] as const)
      expect((await send(base + path, { isAbsolute: true })).status).toBe(status)
  })

  test('HEAD is GET without its body', async () => {
    const { send } = await served()
    const get = await send(`${base}/copy/a`)
    const head = await send(`${base}/copy/a`, { method: 'HEAD' })
    expect([head.status, head.text]).toEqual([200, ''])
    expect(head.headers.get('content-type')).toBe(get.headers.get('content-type'))
    expect((await send(`${base}/copy/a`)).text).toBe(get.text)
  })

  test.each(['application/json', 'text/plain', 'application/x-www-form-urlencoded'])(
    'a body of %s is refused by calls that take none',
    async (type) => {
      const { send } = await served()
      const body = type.endsWith('json') ? '{"a":1}' : 'x=1'
      const sent = { method: 'POST', headers: { 'content-type': type }, body }
      expect((await send(`${base}/copy/a/_pause`, sent)).status).toBe(400)
    },
  )

  test('a client that leaves in the middle of an answer hurts nobody', async () => {
    const long = { state: 'successful', endTime: 1, lastId: 'x'.repeat(20_000) } as const
    const { send } = await served({}, fixedStorage(...Array(100).fill(record({ type: 'copy', ...long }))))
    // No more often: node:http2 counts what was meant for streams that were left against the memory of the session.
    for (let time = 0; time < 3; time++) {
      const call = send.begin(`${base}/_search?size=100`)
      const { body } = await call.opened
      await once(body, 'data')
      call.leave()
    }
    expect((await send(`${base}/_search?size=100`)).text.length).toBeGreaterThan(2e6)
  })

  test('an abort goes on when the client leaves', async () => {
    const { send, registry, job, events } = await served()
    await registry.start('copy', 'a')
    const call = send.begin(`${base}/copy/a/_abort`, { method: 'POST' })
    call.opened.catch(() => {})
    await events.waitFor('aborting')
    call.leave()
    job.end()
    await events.waitFor('aborted')
    expect((await send(`${base}/copy/a`)).text).toContain('"state":"aborted"')
  })

  test.each(['/copy/%zz', '/copy/%', '/%ff/a', '/copy/a/%E0%A4%A/_abort'])('malformed encoding: %s', async (path) => {
    const { send } = await served()
    const { status } = await send(base + path)
    // Next.js takes it for an error of its own.
    expect(mount === 'Next.js' ? [400, 500] : [400, 404]).toContain(status)
    expect((await send(`${base}/copy/a`)).status).toBe(200)
  })

  test.skipIf(mount.includes('2')).each([':::', 'a b', '%zz', '[', 'x:99999', '/'])('the Host %j', async (host) => {
    const { send } = await served()
    expect((await send(`${base}/copy/a`, { headers: { host } })).status).toBeLessThan(500)
    expect((await send(`${base}/copy/a`)).status).toBe(200)
  })

  test('a stream of events tells what happens, is gone on with, and is freed', async () => {
    const clock = fakeClock()
    const { send, registry, job, events } = await served({ clock })
    const open = async (headers = {}) => {
      const call = send.begin(`${base}/_events?type=copy`, { headers })
      const { status, headers: answered, body } = await call.opened
      expect([status, answered.get('content-type')]).toEqual([200, 'text/event-stream; charset=utf-8'])
      return { reader: readerOf(messagesOf(body)), leave: call.leave }
    }
    /** A stream that is held has a timer for its signs of life. */
    const isFreed = () => vi.waitFor(() => expect(clock.pending).toBe(0))

    await registry.start('copy', 'a')
    const { reader, leave } = await open()
    await reader.until(/^a running/)
    expect(clock.pending).toBe(1)
    registry.abort('copy', 'a', { timeout: 0 })
    await reader.until(/^a aborting/)
    leave()
    await isFreed()
    job.end()
    await events.waitFor('aborted')

    const again = await open({ 'last-event-id': reader.lastId })
    expect(await again.reader.until(/^a/)).toBe('a aborted 0')
    again.leave()
    await isFreed()
  })

  test('HEAD of a stream of events has its headers, and holds nothing', async () => {
    const clock = fakeClock()
    const { send } = await served({ clock })
    const { status, headers, text } = await send(`${base}/_events`, { method: 'HEAD' })
    expect([status, headers.get('content-type'), text]).toEqual([200, 'text/event-stream; charset=utf-8', ''])
    expect(headers.get('cache-control')).toBe('no-store, no-transform')
    expect(clock.pending).toBe(0)
  })

  test('a stream of events that may not be is refused with words', async () => {
    const { send } = await served({ authorize: (_, __, { id }) => id === 'a' })
    const statusOf = async (query: string) => (await send(`${base}/_events${query}`, { method: 'HEAD' })).status
    expect([await statusOf('?type=copy&id=a'), await statusOf('?type=copy'), await statusOf('')]).toEqual([
      200, 403, 403,
    ])
    const { status, text } = await send(`${base}/_events?id=a&state=x`)
    expect([status, errorOf(text).type]).toEqual([400, 'invalid_request'])
  })

  test('an authorize that throws answers 500, without details', async () => {
    const error = vi.fn()
    const authorize = () => {
      throw new TypeError('select * from users', { cause: new Error('password=abc') })
    }
    const { send } = await served({ authorize, logger: { error } })
    const { status, text } = await send(`${base}/copy/a`)
    expect([status, text]).toEqual([
      500,
      '{"error":{"type":"internal","reason":"The call could not be answered."},"status":500}',
    ])
    expect(error).toHaveBeenCalledOnce()
  })

  test('a refusal by authorize has its status, its body and its headers', async () => {
    const { send } = await served({ authorize: () => ({ status: 401, headers: { 'www-authenticate': 'Basic' } }) })
    const { status, headers, text } = await send(`${base}/copy/a/_start`, { method: 'POST' })
    expect([status, headers.get('www-authenticate'), errorOf(text).type]).toEqual([401, 'Basic', 'unauthorized'])
  })

  test('a page of another site starts nothing, and one of this site does', async () => {
    const { send, registry, job } = await served()
    const post = (headers: Record<string, string>) => send(`${base}/copy/a/_start`, { method: 'POST', headers })
    for (const headers of [
      { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' },
      { 'sec-fetch-site': 'same-site' },
      { origin: 'https://evil.example' },
      { origin: 'null' },
    ]) {
      const { status, text } = await post(headers)
      expect([status, errorOf(text).type]).toEqual([403, 'forbidden'])
    }
    expect(await registry.status('copy', 'a')).toBeUndefined()
    const authority = mount.includes('2') ? ':authority' : 'host'
    expect((await post({ origin: 'https://jobs.example', [authority]: 'jobs.example' })).status).toBe(201)
    job.end()
  })

  test('a storage that is down is a 503', async () => {
    const { send } = await served({}, brokenStorage())
    const answers = await Promise.all(Array.from({ length: 100 }, () => send(`${base}/copy/a`)))
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([503]))
    expect(errorOf(answers[0]?.text ?? '').type).toBe('storage')
  })

  test('an id of 100 kB and a megabyte of headers are refused', async () => {
    const { send } = await served()
    const headers = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`x-${i}`, 'x'.repeat(10_000)]))
    for (const call of [send.begin(`${base}/copy/${'x'.repeat(100_000)}`), send.begin(`${base}/copy/a`, { headers })]) {
      // An answer, or none: HTTP/2 and a connection that was closed too early have no words for it.
      const refused = call.opened.then(({ status }) => status).catch(() => 431)
      expect([400, 414, 431]).toContain(await Promise.race([refused, setTimeout(2000, 'hangs')]))
    }
    expect((await (await open(describedHandler(newRegistry())))(`${base}/_search`)).status).toBe(200)
  })
})

/** A storage of which every call fails, with what nobody outside may see. */
function brokenStorage(): JobStorage {
  const fail = async (): Promise<never> => {
    throw new Error('connect ECONNREFUSED', { cause: new Error('select 1; postgres://ann:secret@db/x') })
  }
  const names = ['begin', 'renew', 'claim', 'run', 'finish', 'requestAbort', 'find', 'live', 'orphans', 'search']
  return Object.fromEntries(names.map((name) => [name, fail])) as unknown as JobStorage
}
