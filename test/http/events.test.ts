import { once } from 'node:events'
import { connect } from 'node:net'
import fc from 'fast-check'
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { newExecutionId } from '../../src/adapter.js'
import { justAfter, parseResumeToken, printResumeToken } from '../../src/http/events/resume-token.js'
import { maxWaiting, SseStream } from '../../src/http/events/sse-stream.js'
import type { JobsHandler } from '../../src/http/index.js'
import { toNodeHandler } from '../../src/http/mounts/node.js'
import { JobRegistry, type JobStorage, memoryStorage, type StartedExecution } from '../../src/index.js'
import { type FakeClock, fakeClock, heldJob } from '../../src/testing/index.js'
import { ask, type EventReader, read, readerOf } from './_events.js'
import { describedHandler } from './described-handler.js'
import { base, fixedStorage, listen } from './support.js'

let clock: FakeClock
let storage: JobStorage
let registry: JobRegistry
let handler: JobsHandler

beforeEach(() => {
  clock = fakeClock()
  storage = memoryStorage({ clock })
  registry = open('here')
  handler = describedHandler(registry, { clock })
})

function open(node: string, options: { concurrency?: number } = {}): JobRegistry {
  const opened = new JobRegistry({ storage, clock, node, progressInterval: 0, lease: 3000, ...options })
  onTestFinished(() => opened.close({ timeout: 0 }))
  return opened
}

/** Defines a job that runs until it is let go, or aborted. Gives what starts it, and then what it is held by. */
function define(id: string, type = 'copy', where = registry) {
  const { job, contexts, finish, fail } = heldJob({ type, id })
  const end = (error?: unknown) => (error === undefined ? finish() : fail(error))
  where.define(job)
  return {
    start: () => where.start(type, id),
    say: (count: number) => contexts.at(-1)?.progress({ count }),
    end,
    async run() {
      const { finished } = await where.start(type, id)
      end()
      await finished
    },
  }
}

describe('a stream', () => {
  test('tells what lives, and then every change', async () => {
    const a = define('a')
    const b = define('b')
    await a.start()
    const reader = await read(handler)
    expect(reader.told).toEqual(['a running 0'])
    const { finished } = await b.start()
    a.say(5)
    await reader.until(/a running 5/)
    b.end(new Error('no'))
    await finished
    await reader.until(/b error/)
    expect(reader.told).toEqual(['a running 0', 'b running 0', 'a running 5', 'b error 0'])
  })

  test('has the form of server-sent events, each an entry of the log', async () => {
    const a = define('a')
    const { headers, body } = await ask(handler)
    expect(headers).toEqual({
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store, no-transform',
      'x-accel-buffering': 'no',
    })
    const pieces = (body as AsyncIterable<string>)[Symbol.asyncIterator]()
    expect((await pieces.next()).value).toBe('id: 00000000-0000\n\n')
    const { status, executionId } = await a.start()
    const { value } = await pieces.next()
    const [id, data, ...rest] = value.split('\n')
    expect([parseResumeToken(id.slice(4)), rest]).toEqual([{ from: expect.any(String), older: [] }, ['', '']])
    expect(JSON.parse(data.slice(6))).toEqual({
      _id: executionId,
      _source: {
        copy: {
          version: 1,
          id: 'a',
          is_running: true,
          start_time: status.startTime,
          infos: 'The job is running.',
          state: 'running',
          count: 0,
        },
      },
    })
  })

  test.each([
    ['?type=copy', ['a running 0', 'a running 1', 'a successful 1']],
    ['?id=b', ['b running 0', 'b running 1', 'b successful 1']],
    ['?type=copy&id=b', []],
    ['?state=successful', ['a successful 1', 'b successful 1']],
  ])('of %s tells of those alone', async (query, told) => {
    const jobs = [define('a', 'copy'), define('b', 'move')]
    const [reader, all] = [await read(handler, query), await read(handler)]
    for (const job of jobs) {
      const { finished } = await job.start()
      job.say(1)
      await all.until(/ 1$/)
      job.end()
      await finished
    }
    await all.until(/b successful/)
    handler.endStreams()
    expect(reader.told).toEqual([])
    const again = await read(handler, query, '00000000-0000')
    expect(again.told).toEqual(told.filter((text) => text.includes('successful')))
  })

  test.each([
    ['', ['b running 0']],
    ['?include_queued=true', ['b queued 0', 'b running 0']],
    ['?state=queued', ['b queued 0']],
  ])('of %j tells of what waits: %j', async (query, told) => {
    const narrow = open('narrow', { concurrency: 1 })
    const [a, b] = [define('a', 'copy', narrow), define('b', 'copy', narrow)]
    await a.start()
    const serve = describedHandler(narrow, { clock })
    const [early, all] = [await read(serve, query), await read(serve)]
    await b.start()
    const late = await read(serve, query)
    a.end()
    await all.until(/b running/)
    if (told.length > 0) {
      await early.until(new RegExp(told.at(-1) as string))
      await late.until(new RegExp(told.at(-1) as string))
    }
    expect(early.told.filter((text) => text.startsWith('b'))).toEqual(told)
    expect(late.told.filter((text) => text.startsWith('b'))).toEqual(told)
  })

  test.each(['?state=done', '?type=_x', '?since=1', '?id='])('of %s is refused', async (query) => {
    expect((await ask(handler, query)).status).toBe(400)
  })

  test('tells of other nodes', async () => {
    const a = define('a', 'copy', open('there'))
    const reader = await read(handler)
    await a.start()
    await reader.until(/a running/)
    a.end()
    await reader.until(/a successful/)
  })

  test('tells of a node that died, though this one has nothing to do with its jobs', async () => {
    await storage.begin({ type: 'copy', id: 'lost', state: 'running', node: 'gone', lease: 1000 })
    const reader = await read(handler)
    expect(reader.told).toEqual(['lost running 0'])
    await clock.advance(15_000)
    expect(await reader.until(/error/)).toBe('lost error 0')
  })
})

describe('a reader that comes back', () => {
  test('is told what ended meanwhile, oldest first, and then what lives', async () => {
    const [old, short, other] = [define('old'), define('short'), define('other')]
    await old.start()
    await clock.advance(3_600_000)
    await define('between').run()
    await clock.advance(120_000)
    await define('just before').run()
    const first = await read(handler)
    await first.leave()
    await short.run()
    await clock.advance(1)
    await other.start()
    old.end()
    await vi.waitFor(async () => expect(await registry.running('copy')).toHaveLength(1))
    const again = await read(handler, '', first.lastId)
    expect(again.told).toEqual([
      'old successful 0',
      // What began in the minute before is told again.
      'just before successful 0',
      'short successful 0',
      'other running 0',
    ])
    expect((await read(handler, '', again.lastId)).told).not.toContain('old successful 0')
  })

  test('is told of other jobs when it asks for them', async () => {
    const [a, b] = [define('a'), define('b')]
    const { lastId } = await read(handler)
    await a.run()
    await b.run()
    expect((await read(handler, '?id=b', lastId)).told).toEqual(['b successful 0'])
    expect((await read(handler, '?state=error', lastId)).told).toEqual([])
    expect((await read(handler, '?state=running', lastId)).told).toEqual([])
  })

  test.each(['', 'x', '1_2', '00000000-0000_x'])('with an id that is none, %j, is new', async (lastEventId) => {
    await define('a').run()
    expect((await read(handler, '', lastEventId)).told).toEqual([])
  })

  test('to an idle stream has the id of the last sign of life', async () => {
    const a = define('a')
    const reader = await read(handler, '?id=b')
    await a.run()
    await clock.advance(120_000)
    await define('later').run()
    await clock.advance(15_000)
    await reader.next()
    expect(reader.comments).toBeGreaterThan(0)
    expect((await read(handler, '?id=a', reader.lastId)).told).toEqual([])
  })

  test('is told of what ends while it is told what ended', async () => {
    const a = define('a')
    const { finished } = await a.start()
    const { lastId } = await read(handler)
    handler.endStreams()
    const search = registry.search.bind(registry)
    vi.spyOn(registry, 'search').mockImplementation(async (filter) => {
      const found = await search(filter)
      if (filter?.type) {
        a.end()
        await finished
      }
      return found
    })
    const again = await read(handler, '?type=copy', lastId)
    expect(again.told).toEqual(['a successful 0'])
  })

  test('misses no end, whenever it goes', async () => {
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.record({ act: fc.constant('toggle' as const), job: fc.nat(3), takes: fc.boolean() }) },
      { weight: 2, arbitrary: fc.record({ act: fc.constantFrom('go' as const, 'come' as const) }) },
      { weight: 2, arbitrary: fc.record({ act: fc.constant('wait' as const), ms: fc.constantFrom(1, 1000, 70_000) }) },
    )
    let run = 0
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 60, size: 'max' }), async (steps) => {
        run++
        const type = `run${run}`
        const jobs = ['0', '1', '2', '3'].map((id) => define(id, type))
        const live = new Map<number, StartedExecution>()
        const told = new Set<string>()
        let reader: EventReader | undefined = await read(handler, `?type=${type}`)
        let lastId = reader.lastId
        const come = async () => {
          reader ??= await read(handler, `?type=${type}`, lastId)
        }
        const go = async () => {
          lastId = reader?.lastId ?? lastId
          for (const executionId of reader?.executionIds ?? []) told.add(executionId)
          await reader?.leave()
          reader = undefined
        }
        const toggle = async (n: number) => {
          const execution = live.get(n)
          if (!execution) return live.set(n, (await jobs[n]?.start()) as StartedExecution)
          jobs[n]?.end()
          live.delete(n)
          return execution.finished
        }
        for (const step of steps) {
          if (step.act === 'wait') await clock.advance(step.ms)
          else if (step.act === 'toggle') {
            await toggle(step.job)
            if (step.takes) await reader?.next()
          } else await (step.act === 'go' ? go() : come())
        }
        await go()
        await come()
        await go()
        const { hits } = await registry.search({ type, size: 1000 })
        expect(hits.map(({ executionId }) => executionId).filter((executionId) => !told.has(executionId))).toEqual([])
        for (const n of [...live.keys()]) await toggle(n)
      }),
      { numRuns: 25 },
    )
  })
})

describe('what a stream holds', () => {
  test('one subscription serves all, and the last reader ends it', async () => {
    const on = vi.spyOn(registry, 'on')
    const idle = clock.pending
    await (await read(handler)).leave()
    const follower = clock.pending - idle
    on.mockClear()
    const readers = [await read(handler)]
    readers.push(...(await Promise.all(Array.from({ length: 20 }, () => read(handler)))))
    const subscribed = on.mock.calls.length
    expect([subscribed, clock.pending - idle]).toEqual([1, follower + 1])
    await Promise.all(readers.map((reader) => reader.leave()))
    expect(clock.pending - idle).toBe(follower)
    const search = vi.spyOn(registry, 'search')
    await define('a').run()
    await clock.advance(60_000)
    expect(search).not.toHaveBeenCalled()
  })

  test('a reader may go while its first piece is on the way', async () => {
    const idle = clock.pending
    const { body } = await ask(handler)
    const pieces = (body as AsyncIterable<string>)[Symbol.asyncIterator]()
    const first = pieces.next()
    await pieces.return?.()
    expect((await first).done).toBe(true)
    await clock.advance(0)
    // What follows other nodes stays for the life of the registry.
    expect(clock.pending - idle).toBeLessThanOrEqual(1)
  })

  test('HEAD answers, and holds nothing', async () => {
    const answer = await ask(handler, '', undefined, 'HEAD')
    expect([answer.status, answer.body]).toEqual([200, ''])
    expect(answer.headers['content-type']).toBe('text/event-stream; charset=utf-8')
  })

  test('a reader that is too slow is dropped, and is told all when it comes back', async () => {
    const { body } = await ask(handler)
    const slow = readerOf(body as AsyncIterable<string>)
    await slow.next()
    const [a, b] = [define('a'), define('b')]
    await a.run()
    const fast = await read(handler)
    await b.start()
    for (let count = 1; count * 150 < maxWaiting; count++) {
      b.say(count)
      await fast.until(new RegExp(` ${count}$`))
    }
    await slow.toEnd()
    expect(slow.told).toEqual([])
    const again = await read(handler, '', slow.lastId)
    expect(again.told).toEqual(['a successful 0', expect.stringMatching(/^b running/)])
  })

  test('text waits up to a bound', async () => {
    const close = vi.fn()
    const ended = vi.fn()
    async function* welcome(): AsyncGenerator<string, undefined> {
      yield 'x'.repeat(2 * maxWaiting)
      yield 'y'
    }
    const stream = new SseStream({ welcome, close })
    stream.onEnd(ended)
    const first = stream.next()
    stream.push('a'.repeat(maxWaiting))
    expect((await first).value).toHaveLength(2 * maxWaiting)
    expect((await stream.next()).value).toBe(`y${'a'.repeat(maxWaiting)}`)
    stream.push('b'.repeat(maxWaiting))
    stream.flush()
    expect(close).not.toHaveBeenCalled()
    stream.push('c')
    expect([close.mock.calls.length, ended.mock.calls.length]).toEqual([1, 1])
    expect(await stream.next()).toEqual({ done: true, value: undefined })
    await stream.return()
    expect(close).toHaveBeenCalledOnce()
  })

  test('what is told to many is gathered for a moment', async () => {
    const readers = []
    for (let n = 0; n < 500; n++) readers.push(await read(handler))
    const [reader] = readers as [EventReader]
    const first = reader.next()
    for (const id of ['a', 'b', 'c']) await define(id).run()
    expect(await first).toEqual(['a running 0'])
    const rest = reader.next()
    await clock.advance(50)
    expect(await rest).toHaveLength(5)
    handler.endStreams()
    // The registry polls for other events, for pauses, and for lost processes.
    expect(clock.pending).toBe(3)
  })

  test('a sign of life comes every 15 seconds, or as often as said', async () => {
    const often = describedHandler(registry, { clock, keepAlive: 1000 })
    const readers = [await read(handler), await read(often)]
    await clock.advance(15_000)
    await Promise.all(readers.map((reader) => reader.next()))
    expect(readers.map(({ comments }) => comments)).toEqual([1, 15])
  })

  test('a handler ends its streams', async () => {
    const readers = [await read(handler), await read(handler)]
    handler.endStreams()
    await Promise.all(readers.map((reader) => reader.toEnd()))
    expect((await read(handler)).told).toEqual([])
  })

  test('a client that is gone on node:http leaves nothing', async () => {
    await (await read(handler)).leave()
    const idle = clock.pending
    const { port } = await listen(toNodeHandler(handler))
    const sockets = Array.from({ length: 5 }, () => connect(port, '127.0.0.1').setEncoding('utf8'))
    for (const socket of sockets) {
      socket.write(`GET ${base}/_events HTTP/1.1\r\nHost: x\r\n\r\n`)
      await once(socket, 'data')
    }
    expect(clock.pending).toBe(idle + 1)
    for (const socket of sockets) socket.resetAndDestroy()
    await vi.waitFor(() => expect(clock.pending).toBe(idle))
  })
})

test('a client on node:http that does not read is dropped', async () => {
  // From its first job on, the registry polls for pauses.
  define('first')
  await (await read(handler)).leave()
  const idle = clock.pending
  const { port } = await listen(toNodeHandler(handler))
  const socket = connect(port, '127.0.0.1').pause()
  socket.write(`GET ${base}/_events HTTP/1.1\r\nHost: x\r\n\r\n`)
  await vi.waitFor(() => expect(clock.pending).toBe(idle + 1))
  let ends = 0
  while (clock.pending > idle) {
    const { start, end } = define(`a${ends++}`)
    const { finished } = await start()
    end(new AggregateError(Array.from({ length: 20 }, (_, n) => new Error(`${n}`.padEnd(2000, '.')))))
    await finished
  }
  // What the machine holds for a connection is more than what waits here, but not without bound either.
  expect(ends).toBeLessThan(1000)
  socket.destroy()
})

describe('what stands in the way', () => {
  test('a storage that is away is a 503', async () => {
    vi.spyOn(storage, 'search').mockRejectedValue(new Error('away'))
    const error = vi.fn()
    const answer = await ask(describedHandler(registry, { logger: { error } }))
    expect([answer.status, error.mock.calls.length]).toEqual([503, 1])
  })

  test('a storage that tells of no changes is a 400', async () => {
    const deaf = new JobRegistry({ storage: fixedStorage(), clock })
    onTestFinished(() => deaf.close())
    const answer = await ask(describedHandler(deaf))
    expect([answer.status, answer.body]).toEqual([400, expect.stringContaining('does not emit changes')])
  })

  test('a storage that goes away as a stream opens ends it, and the next one opens', async () => {
    const error = vi.fn()
    const serve = describedHandler(registry, { clock, logger: { error } })
    const { body } = await ask(serve, '', '00000000-0000')
    const search = vi.spyOn(storage, 'search').mockRejectedValue(new Error('away'))
    await readerOf(body as AsyncIterable<string>).toEnd()
    expect(error).toHaveBeenCalledOnce()
    search.mockRestore()
    await read(serve)
  })

  test('authorize is asked for `events`', async () => {
    const authorize = vi.fn().mockReturnValue(false)
    expect((await ask(describedHandler(registry, { authorize }))).status).toBe(403)
    expect(authorize.mock.calls[0]?.slice(1)).toEqual(['events', {}])
  })
})

describe('ids', () => {
  const order = (time: number) => newExecutionId('-', time).slice(1)
  const times = fc.array(fc.integer({ min: 0, max: 2 ** 45 }), { minLength: 1, maxLength: 40 })

  test('name what may end yet, or go back to it', () => {
    fc.assert(
      fc.property(times, fc.infiniteStream(fc.boolean()), (times, lives) => {
        const known = times.map(order).sort()
        const live = known.filter(() => lives.next().value)
        const text = printResumeToken(known.at(-1), live)
        expect(text.length).toBeLessThan(800)
        const cursor = parseResumeToken(text)
        for (const each of live) expect(each >= (cursor?.from ?? '~') || cursor?.older.includes(each)).toBe(true)
      }),
    )
  })

  test('lead to the execution at a place', async () => {
    const [a] = [define('a')]
    for (let n = 0; n < 5; n++) await a.run()
    for (const { executionId } of (await registry.search()).hits) {
      const { hits } = await registry.search({ searchAfter: justAfter(executionId.slice(-36)), size: 1 })
      expect(hits[0]?.executionId).toBe(executionId)
    }
  })
})
