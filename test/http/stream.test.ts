import { once } from 'node:events'
import { request } from 'node:http'
import { describe, expect, test, vi } from 'vitest'
import { toWebStream } from '../../src/http/_stream.js'
import { createJobsHandler, type JobsHandler, type TextStream } from '../../src/http/handler.js'
import { base, faces, newRegistry } from './support.js'

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

const servers = Object.entries(faces).filter(([name]) => name !== 'fetch')

describe.each(servers)('a stream by %s', (_, open) => {
  async function get(body: TextStream) {
    const send = await open(streaming(body))
    return request(send.address(`${base}/_events`)).end()
  }

  test('comes in pieces, and ends', async () => {
    const [response] = await once(await get(textOf('a', 'ä', 'c')), 'response')
    expect([response.statusCode, response.headers['content-type']]).toEqual([200, 'text/event-stream'])
    let text = ''
    for await (const chunk of response.setEncoding('utf8')) text += chunk
    expect(text).toBe('aäc')
  })

  test('waits for a client that does not read, and ends with it', async () => {
    const stream = endless()
    const asked = await get(stream.body)
    const [response] = await once(asked, 'response')
    // Until the buffers on the way are full: then nothing more is taken.
    let taken = 0
    const isFull = () => {
      const before = taken
      taken = stream.pieces.mock.calls.length
      return taken === before && taken > 1
    }
    await vi.waitUntil(isFull, { interval: 200 })
    expect(taken * piece.length).toBeLessThan(20e6)
    response.destroy()
    await stream.left
  })

  test('ends with a client that leaves while nothing comes', async () => {
    const first = { done: false, value: 'a' }
    let calls = 0
    const stream = endless(() => (calls++ === 0 ? Promise.resolve(first) : new Promise(() => {})))
    const asked = await get(stream.body)
    const [response] = await once(asked, 'response')
    await once(response, 'data')
    response.destroy()
    await stream.left
  })
})

async function* textOf(...pieces: string[]): TextStream {
  yield* pieces
}
