import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import { connect } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import { getRequestListener } from '@hono/node-server'
import { describe, expect, test, vi } from 'vitest'
import { type ExecutionRecord, newExecutionId, systemClock } from '../../src/adapter.js'
import { StorageLimiter } from '../../src/http/api/storage-limiter.js'
import { SseStream } from '../../src/http/events/sse-stream.js'
import type { JobsHandler, TextStream } from '../../src/http/index.js'
import { toNodeHandler } from '../../src/http/mounts/node.js'
import { JobRegistry, memoryStorage, type SearchFilter } from '../../src/index.js'
import { fakeClock } from '../../src/testing/index.js'
import { ask, readerOf } from './_events.js'
import { describedHandler } from './described-handler.js'
import { base, defineHeld, fixedStorage, listen, newRegistry, record, sendTo } from './support.js'

/** A storage whose log holds so many failed executions, the newest first, and counts what is read of it. */
function logOf(count: number, length: number) {
  const error = Array.from({ length: 20 }, () => 'x'.repeat(length / 20))
  const log: ExecutionRecord[] = []
  for (let n = count; n > 0; n--) {
    const executionId = newExecutionId('a', 1_000_000_000_000 + n * 120_000)
    log.push(record({ type: 'copy', id: 'a', executionId, state: 'error', error, startTime: n, endTime: n }))
  }
  let read = 0
  const search = async ({ from = 0, size = 10, searchAfter, state }: SearchFilter) => {
    const start = log.findIndex((hit) => searchAfter === undefined || hit.executionId.slice(1) < searchAfter.slice(-36))
    const isEmpty = start < 0 || (state !== undefined && state !== 'error')
    const hits = isEmpty ? [] : log.slice(start + from, start + from + size)
    read += hits.length
    return { total: log.length, hits }
  }
  return { storage: { ...fixedStorage(), search, watch: () => () => {} }, log, read: () => read }
}

describe('a long page of the log', () => {
  test.each(['', '&pretty'])('is what it is at once%s, piece by piece', async (query) => {
    const { storage } = logOf(300, 2000)
    const registry = newRegistry({ storage })
    const { port } = await listen(toNodeHandler(describedHandler(registry)))
    const { headers, text } = await sendTo(port)(`${base}/_search?size=250${query}`)
    const { hits } = JSON.parse(text)
    expect([hits.total, hits.hits.length]).toEqual([300, 250])
    expect(new Set(hits.hits.map(({ _id }: { _id: string }) => _id))).toHaveLength(250)
    expect(text).toBe(JSON.stringify(JSON.parse(text), undefined, query ? 2 : undefined))
    expect(headers.get('content-type')).toBe('application/json; charset=utf-8')
    expect(headers.get('cache-control')).toBe('no-store')
  })

  test('is read as the client reads it, and no more once that has gone', async () => {
    const { storage, read } = logOf(1000, 40_000)
    const handler = describedHandler(newRegistry({ storage }))
    const url = `${base}/_search?size=1000`
    const { body } = await handler.answer({ method: 'GET', url, headers: new Headers(), native: undefined })
    const pieces = (body as TextStream)[Symbol.asyncIterator]()
    const lengths = [await pieces.next(), await pieces.next(), await pieces.next()].map(({ value }) => value.length)
    expect(read()).toBeLessThan(30)
    expect(Math.max(...lengths)).toBeLessThan(1e6)
    await pieces.return?.()
    expect(read()).toBeLessThan(30)
  })

  test('that fails in the middle is cut off', async () => {
    const { storage, log } = logOf(100, 40_000)
    let calls = 0
    const search = async (filter: SearchFilter) => {
      if (calls++ > 2) throw new Error('away')
      return storage.search(filter)
    }
    const { port } = await listen(toNodeHandler(describedHandler(newRegistry({ storage: { ...storage, search } }))))
    expect(log).toHaveLength(100)
    await expect(sendTo(port)(`${base}/_search?size=100`)).rejects.toThrow()
  })

  test('of jobs that run is as one that is made at once', async () => {
    const registry = newRegistry()
    for (let n = 0; n < 150; n++) {
      defineHeld(registry, 'copy', `${n}`)
      await registry.start('copy', `${n}`)
    }
    const { port } = await listen(toNodeHandler(describedHandler(registry)))
    const { text } = await sendTo(port)(`${base}/copy`)
    const { hits } = JSON.parse(text)
    expect([hits.total, hits.hits.length, text]).toEqual([150, 150, JSON.stringify(JSON.parse(text))])
  })
})

describe('a reader that comes back', () => {
  test('is read for page by page, as it reads', async () => {
    const { storage, log, read } = logOf(2000, 40_000)
    const handler = describedHandler(newRegistry({ storage }))
    const { body } = await ask(handler, '', '00000000-0000')
    const reader = readerOf(body as TextStream)
    await reader.next()
    const walked = read()
    expect(walked).toBeLessThan(2100)
    expect(reader.executionIds.length).toBeLessThan(5)
    await reader.next()
    expect(read() - walked).toBeLessThan(5)
    while (reader.executionIds.length < log.length) await reader.next()
    expect(reader.executionIds).toEqual(log.map(({ executionId }) => executionId).reverse())
  })

  test('goes on where it was when it leaves in between', async () => {
    const { storage, log } = logOf(300, 40_000)
    const handler = describedHandler(newRegistry({ storage }))
    const told = new Set<string>()
    let lastId: string | undefined = '00000000-0000'
    for (let visit = 0; told.size < log.length; visit++) {
      expect(visit).toBeLessThan(200)
      const { body } = await ask(handler, '', lastId)
      const reader = readerOf(body as TextStream)
      for (let piece = 0; piece < 3; piece++) await reader.next()
      for (const executionId of reader.executionIds) told.add(executionId)
      lastId = reader.lastId ?? lastId
      await reader.leave()
    }
  })

  const gapOf = async (handler: ReturnType<typeof describedHandler>, lastId: string) => {
    const pieces = ((await ask(handler, '', lastId)).body as TextStream)[Symbol.asyncIterator]()
    const { value } = await pieces.next()
    await pieces.return?.()
    return /^event: gap\ndata: \{"reason":"[^"]+"\}\n\n/.test(value)
  }

  test('is told so when its id is older than the log', async () => {
    const registry = newRegistry({ storage: memoryStorage({ maxCount: 5 }) })
    registry.define({ type: 'copy', id: 'a', run: () => {} })
    const run = async (times: number) => {
      for (let n = 0; n < times; n++) await (await registry.start('copy', 'a')).finished
    }
    const handler = describedHandler(registry)
    await run(1)
    const { body } = await ask(handler)
    const reader = readerOf(body as TextStream)
    await reader.next()
    const lastId = reader.lastId as string
    await reader.leave()
    await run(4)
    expect(await gapOf(handler, lastId)).toBe(false)
    await run(1)
    expect(await gapOf(handler, lastId)).toBe(true)
    expect(await gapOf(handler, '0197e4b2-93f1')).toBe(true)
  })

  test('is told so when there is more than it can be told', async () => {
    const [many, all] = [10_001, 10_000].map((count) =>
      describedHandler(newRegistry({ storage: logOf(count, 20).storage })),
    )
    expect(await gapOf(many as never, '00000000-0000')).toBe(true)
    expect(await gapOf(all as never, '00000000-0000')).toBe(false)
  }, 60_000)
})

describe('what is done for clients that are gone', () => {
  test('reads of a storage that answers at once let timers run in between', async () => {
    const limiter = new StorageLimiter(systemClock)
    const busy = async () => {
      const until = performance.now() + 5
      while (performance.now() < until);
    }
    let ticks = 0
    const timer = setInterval(() => ticks++, 1)
    const reader = async () => {
      for (let n = 0; n < 4; n++) await limiter.run(busy)
    }
    await Promise.all(Array.from({ length: 20 }, reader))
    clearInterval(timer)
    expect(ticks).toBeGreaterThanOrEqual(10)
  })

  test('a bounded number of calls read storage, and those that wait go with their clients', async () => {
    const clock = fakeClock()
    const limiter = new StorageLimiter(clock)
    const ends: (() => void)[] = []
    const read = vi.fn(() => new Promise<void>((resolve) => ends.push(resolve)))
    const left = Array.from({ length: 100 }, () => new AbortController())
    const answers = Array.from({ length: 16 }, () => limiter.run(read))
    const gone = left.map((client) => limiter.run(read, client))
    const late = limiter.run(read)
    for (const client of left) client.abort()
    for (const each of gone) await expect(each).rejects.toMatchObject({ code: 'storage' })
    expect(read).toHaveBeenCalledTimes(16)
    for (const end of ends.splice(0)) end()
    await Promise.all(answers)
    await vi.waitFor(() => expect(read).toHaveBeenCalledTimes(17))
    for (const end of ends) end()
    await late
    expect(clock.pending).toBe(0)
  })

  test('one that waits too long is refused', async () => {
    const clock = fakeClock()
    const limiter = new StorageLimiter(clock)
    for (let n = 0; n < 16; n++) void limiter.run(() => new Promise(() => {}))
    const late = limiter.run(async () => {})
    const refused = expect(late).rejects.toMatchObject({ code: 'storage', isTransient: true })
    await clock.advance(10_000)
    await refused
  })

  test('who waits for a job to stop waits no more', async () => {
    const clock = fakeClock()
    const registry = new JobRegistry({ storage: memoryStorage({ clock }), clock, lease: 86_400_000 })
    const job = defineHeld(registry, 'copy', 'deaf', { isDeaf: true })
    await registry.start('copy', 'deaf')
    const { port } = await listen(toNodeHandler(describedHandler(registry)))
    const idle = clock.pending
    const sockets = Array.from({ length: 50 }, () => connect(port, '127.0.0.1').on('error', () => {}))
    for (const socket of sockets) socket.write(`POST ${base}/copy/deaf/_abort?timeout=1d HTTP/1.1\r\nHost: x\r\n\r\n`)
    await vi.waitFor(() => expect(clock.pending).toBe(idle + 50))
    for (const socket of sockets) socket.resetAndDestroy()
    await vi.waitFor(() => expect(clock.pending).toBe(idle))
    expect(await registry.status('copy', 'deaf')).toMatchObject({ state: 'aborting' })
    job.end()
    await vi.waitFor(async () => expect(await registry.status('copy', 'deaf')).toMatchObject({ state: 'aborted' }))
  })

  test('streams that wait for their turn on a connection go with it, as do those who wait for a job', async () => {
    const clock = fakeClock()
    const registry = new JobRegistry({ storage: memoryStorage({ clock }), clock, lease: 86_400_000 })
    defineHeld(registry, 'copy', 'deaf', { isDeaf: true })
    await registry.start('copy', 'deaf')
    const { port } = await listen(toNodeHandler(describedHandler(registry)))
    const [warned, opened, left] = [
      vi.fn(),
      vi.spyOn(SseStream.prototype, 'next'),
      vi.spyOn(SseStream.prototype, 'return'),
    ]
    process.on('warning', warned)
    const idle = clock.pending
    const sockets = ['GET /_events', 'POST /copy/deaf/_abort?timeout=1d'].map((call) => {
      const socket = connect(port, '127.0.0.1')
        .on('error', () => {})
        .resume()
      socket.write(`${call.replace('/', `${base}/`)} HTTP/1.1\r\nHost: x\r\n\r\n`.repeat(50))
      return socket
    })
    await vi.waitFor(() => expect(clock.pending).toBeGreaterThanOrEqual(idle + 50))
    await vi.waitFor(() => expect(new Set(opened.mock.contexts)).toHaveLength(50))
    for (const socket of sockets) socket.resetAndDestroy()
    await vi.waitFor(() => expect(new Set(left.mock.contexts)).toHaveLength(50))
    await vi.waitFor(() => expect(clock.pending).toBeLessThan(idle + 10))
    process.off('warning', warned)
    expect(warned).not.toHaveBeenCalled()
  })

  test('calls that write storage wait with those that read it', async () => {
    const registry = newRegistry({ storage: fixedStorage() })
    const go = () => new Promise<never>(() => {})
    const [start, abort, status] = (['start', 'abort', 'status'] as const).map((name) =>
      vi.spyOn(registry, name).mockImplementation(go),
    )
    const handler = describedHandler(registry)
    const send = (method: string, url: string) =>
      void handler.answer({ method, url: `${base}${url}`, headers: new Headers(), native: undefined })
    for (let n = 0; n < 8; n++) send('POST', '/copy/a/_start')
    for (let n = 0; n < 8; n++) send('POST', '/copy/a/_abort')
    for (let n = 0; n < 9; n++) for (const call of ['/_start', '/_abort']) send('POST', `/copy/a${call}`)
    send('GET', '/copy/a')
    await setImmediate()
    expect([start, abort, status].map((spy) => spy?.mock.calls.length)).toEqual([8, 8, 0])
  })

  test('one who waits for a job to stop holds no other up', async () => {
    const registry = newRegistry()
    const job = defineHeld(registry, 'copy', 'deaf', { isDeaf: true })
    await registry.start('copy', 'deaf')
    const handler = describedHandler(registry)
    const send = (method: string, url: string) =>
      handler.answer({ method, url: `${base}${url}`, headers: new Headers(), native: undefined })
    const stopped = Array.from({ length: 40 }, () => send('POST', '/copy/deaf/_abort'))
    expect((await send('GET', '/copy/deaf')).body).toContain('"state":"aborting"')
    job.end()
    for (const { body } of await Promise.all(stopped)) expect(body).toContain('"state":"aborted"')
  })

  test.each([
    ['node:http', 'the handler', toNodeHandler],
    ['node:http', 'the registry', toNodeHandler],
    ['Hono', 'the handler', (handler: JobsHandler) => getRequestListener(handler)],
    ['Hono', 'the registry', (handler: JobsHandler) => getRequestListener(handler)],
  ])(
    'a server by %s closes at once though readers keep their connections, when %s ends the streams',
    async (_, by, mount) => {
      const registry = newRegistry()
      const handler = describedHandler(registry)
      const server = createServer(mount(handler) as RequestListener).listen(0, '127.0.0.1')
      await once(server, 'listening')
      server.keepAliveTimeout = 600_000
      const socket = connect((server.address() as { port: number }).port, '127.0.0.1')
      socket.write(`GET ${base}/_events HTTP/1.1\r\nHost: x\r\n\r\n`)
      await once(socket, 'data')
      const closed = once(server, 'close')
      server.close()
      if (by === 'the handler') handler.endStreams()
      else await registry.close()
      await closed
      if (by === 'the registry') expect((await handler(new Request(`http://x${base}/_events`))).status).toBe(503)
    },
  )

  test('a server closes though a reader does not read', async () => {
    const { storage } = logOf(500, 40_000)
    const handler = describedHandler(newRegistry({ storage }))
    const server = createServer(toNodeHandler(handler)).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const sockets = ['/_events', '/_search?size=1000'].map((path) => {
      const socket = connect((server.address() as { port: number }).port, '127.0.0.1').on('error', () => {})
      socket.write(`GET ${base}${path} HTTP/1.1\r\nHost: x\r\nLast-Event-ID: 00000000-0000\r\n\r\n`)
      return socket.pause()
    })
    await Promise.all(sockets.map((socket) => once(socket, 'readable')))
    const closed = once(server, 'close')
    server.close()
    handler.endStreams()
    await closed
  })
})

test('an open stream costs few searches', async () => {
  const registry = newRegistry()
  const search = vi.spyOn(registry, 'search')
  const handler = describedHandler(registry)
  const readers = Array.from({ length: 50 }, async () => {
    const reader = readerOf((await ask(handler)).body as TextStream)
    await reader.next()
    return reader
  })
  for (const reader of readers) await (await reader).leave()
  expect(search.mock.calls.length).toBeLessThanOrEqual(4)
})
