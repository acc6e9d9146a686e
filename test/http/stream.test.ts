import { once } from 'node:events'
import { describe, expect, test, vi } from 'vitest'
import { toWebStream } from '../../src/http/answers/text-stream.js'
import { createJobsHandler, type JobsHandler, type TextStream } from '../../src/http/index.js'
import { faces, mounts } from './faces.js'
import { base, newRegistry } from './support.js'

const piece = 'x'.repeat(10_000)

/** A stream that never ends by itself. */
function endless(next = async (): Promise<IteratorResult<string>> => ({ done: false, value: piece })) {
  let leave = () => {}
  const left = new Promise<void>((resolve) => {
    leave = resolve
  })
  const pieces = vi.fn(next)
  const end = async () => {
    leave()
    return { done: true, value: undefined } as const
  }
  return { body: { [Symbol.asyncIterator]: () => ({ next: pieces, return: end }) }, pieces, left }
}

/** A handler that answers everything with a stream. */
function streaming(body: TextStream): JobsHandler {
  const headers = { 'content-type': 'text/event-stream' }
  return Object.assign(async () => new Response(toWebStream(body), { headers }), {
    ...createJobsHandler(newRegistry()),
    answer: async () => ({ status: 200, headers, body }),
  })
}

describe.each(Object.entries({ ...faces, ...mounts }))('a stream by %s', (_, open) => {
  const get = async (body: TextStream) => (await open(streaming(body))).begin(`${base}/_events`)

  test('comes in pieces, and ends', async () => {
    const { status, headers, body } = await (await get(textOf('a', 'ä', 'c'))).opened
    expect([status, headers.get('content-type')]).toEqual([200, 'text/event-stream'])
    let text = ''
    for await (const chunk of body.setEncoding('utf8')) text += chunk
    expect(text).toBe('aäc')
  })

  test('waits for a client that does not read, and ends with it', async () => {
    const stream = endless()
    const call = await get(stream.body)
    await call.opened
    // Until the buffers on the way are full: then nothing more is taken.
    let taken = -1
    const isFull = () => {
      const before = taken
      taken = stream.pieces.mock.calls.length
      return taken === before
    }
    await vi.waitUntil(isFull, { interval: 200 })
    expect(taken * piece.length).toBeLessThan(20e6)
    call.leave()
    await stream.left
  })

  test('ends with a client that leaves while nothing comes', async () => {
    const first = { done: false, value: 'a' }
    let calls = 0
    const stream = endless(() => (calls++ === 0 ? Promise.resolve(first) : new Promise(() => {})))
    const call = await get(stream.body)
    const { body } = await call.opened
    await once(body, 'data')
    call.leave()
    await stream.left
  })
})

async function* textOf(...pieces: string[]): TextStream {
  yield* pieces
}
