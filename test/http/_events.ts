import type { Readable } from 'node:stream'
import { expect } from 'vitest'
import type { JobsAnswer, JobsHandler, WireHit, WireStatus } from '../../src/http/index.js'
import { base } from './support.js'

/** One reader of a stream of events, by hand. */
export interface EventReader {
  /** What it was told by the pieces that it took: `a running 0`. */
  readonly told: string[]
  /** The executions that it was told of, once per event. */
  readonly executionIds: string[]
  /** The id that it was told last. */
  readonly lastId: string | undefined
  /** How many comments came. */
  readonly comments: number
  /** Takes the next piece. Gives what it tells. */
  next(): Promise<string[]>
  /** Takes pieces until something fits, and gives it. */
  until(pattern: RegExp): Promise<string>
  /** Takes pieces until the stream ends. */
  toEnd(): Promise<void>
  leave(): Promise<unknown>
}

export function ask(handler: JobsHandler, query = '', lastEventId?: string, method = 'GET'): Promise<JobsAnswer> {
  const headers = new Headers(lastEventId === undefined ? {} : { 'last-event-id': lastEventId })
  return handler.answer({ method, url: `${base}/_events${query}`, headers, native: undefined })
}

/** Opens a stream, and takes what it tells first. */
export async function read(handler: JobsHandler, query?: string, lastEventId?: string): Promise<EventReader> {
  const { status, body } = await ask(handler, query, lastEventId)
  expect(status).toBe(200)
  const reader = readerOf(body as AsyncIterable<string>)
  await reader.next()
  return reader
}

/** What a connection brings, message by message, however it was cut on the way. */
export async function* messagesOf(body: Readable): AsyncGenerator<string> {
  let rest = ''
  for await (const chunk of body.setEncoding('utf8')) {
    const messages = `${rest}${chunk}`.split('\n\n')
    rest = messages.pop() ?? ''
    yield* messages
  }
}

export function readerOf(pieces: AsyncIterable<string>): EventReader {
  const iterator = pieces[Symbol.asyncIterator]()
  const told: string[] = []
  const executionIds: string[] = []
  let lastId: string | undefined
  let comments = 0
  let isOver = false
  const next = async () => {
    const { done, value = '' } = await iterator.next()
    isOver = done === true
    const before = told.length
    for (const line of value.split('\n')) {
      const [, field, text = ''] = /^(\w*): ?(.*)$/.exec(line) ?? []
      if (field === '') comments++
      if (field === 'id') lastId = text
      if (field !== 'data') continue
      const entry = JSON.parse(text)
      told.push(inWords(entry))
      executionIds.push(entry._id)
    }
    return told.slice(before)
  }
  return {
    told,
    executionIds,
    get lastId() {
      return lastId
    },
    get comments() {
      return comments
    },
    next,
    async until(pattern) {
      for (let news = told; ; news = await next()) {
        const found = news.find((text) => pattern.test(text))
        if (found !== undefined) return found
        if (isOver) throw new Error(`Expected ${pattern}, and the stream ended after ${told.join(', ')}`)
      }
    },
    async toEnd() {
      while (!isOver) await next()
    },
    leave: () => iterator.return?.() ?? Promise.resolve(),
  }
}

/** An event in words: `a running 0`. */
export function inWords({ _id, _source }: WireHit): string {
  const [[, status] = []] = Object.entries(_source)
  const { id, state, count } = status as WireStatus
  expect(_id.slice(0, -36)).toBe(id)
  return `${id} ${state} ${count}`
}
