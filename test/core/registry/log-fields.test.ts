import { JobRegistry, memoryStorage } from 'headgate'
import { describe, expect, it } from 'vitest'
import type { ExecutionContext } from '../../../src/core/execution/index.js'

/** What a logger is told of what a job logs. */
async function logged(details: object, message = 'said'): Promise<[details: Record<string, unknown>, message: string]> {
  const told: [details: Record<string, unknown>, message: string][] = []
  const tell = (details: object, message: string) => told.push([details as Record<string, unknown>, message])
  const registry = new JobRegistry({
    storage: memoryStorage(),
    redact: ['open sesame'],
    // Starts and ends are entries too, at other levels.
    logger: { debug: tell, info: () => {}, warn: () => {}, error: () => {} },
  })
  registry.define({
    type: 'test',
    id: 'a',
    run: (context) => (context as ExecutionContext).logger.debug(details, message),
  })
  const { finished } = await registry.start('test', 'a')
  await finished
  await registry.close()
  expect(told).toHaveLength(1)
  return told[0] as (typeof told)[0]
}

const url = 'postgres://u:S3cr3t@h'
const hiddenUrl = 'postgres://u:***@h'

describe('what a job logs', () => {
  it('has no secrets in its message, nested fields and the values of their names', async () => {
    const [details, message] = await logged(
      {
        text: url,
        a: [{ b: { c: url } }],
        map: new Map([['x', url]]),
        set: new Set([url]),
        url: new URL('https://h/?token=S3cr3t'),
        json: { toJSON: () => url },
        config: { password: 'S3cr3t', dbPass: ['S3cr3t'], token: null, tokens: 3 },
        'password=S3cr3t': 1,
        pin: { password: 12_345_678 },
        secrets: new Map([['password', 'S3cr3t']]),
        headers: new Map([
          ['authorization', 'S3cr3t'],
          ['host', 'h'],
        ]),
        pairs: [
          { name: 'DB_PASSWORD', value: 'S3cr3t' },
          { name: 'host', value: 'h' },
        ],
        issues: [
          { path: ['user', 'password'], value: 'S3cr3t', message: 'm' },
          { property: 'password', value: 'S3cr3t' },
          { path: ['name'], value: 'n' },
        ],
        entries: [
          ['password', 'S3cr3t'],
          ['host', 'h'],
        ],
        row: { secret_id: 12, password_reset_at: '2026-01-01' },
        spawned: ['--password', 'S3cr3t', '--host', 'h'],
        rawHeaders: ['Cookie', 'S3cr3t', 'Host', 'h'],
        own: { text: 'say open sesame', form: 'q=open+sesame' },
      },
      `to ${url}, open sesame`,
    )
    expect(message).toBe(`to ${hiddenUrl}, ***`)
    expect(details).toEqual({
      text: hiddenUrl,
      a: [{ b: { c: hiddenUrl } }],
      map: [['x', hiddenUrl]],
      set: [hiddenUrl],
      url: 'https://h/?token=***',
      json: hiddenUrl,
      config: { password: '***', dbPass: '***', token: null, tokens: 3 },
      'password=***': '***',
      pin: { password: '***' },
      secrets: '***',
      headers: [
        ['authorization', '***'],
        ['host', 'h'],
      ],
      pairs: [
        { name: 'DB_PASSWORD', value: '***' },
        { name: 'host', value: 'h' },
      ],
      issues: [
        { path: ['user', 'password'], value: '***', message: 'm' },
        { property: 'password', value: '***' },
        { path: ['name'], value: 'n' },
      ],
      entries: [
        ['password', '***'],
        ['host', 'h'],
      ],
      row: { secret_id: 12, password_reset_at: '2026-01-01' },
      spawned: ['--password', '***', '--host', 'h'],
      rawHeaders: ['Cookie', '***', 'Host', 'h'],
      own: { text: 'say ***', form: 'q=***' },
    })
  })

  it('forges no entry and moves no cursor, whatever names and texts it has', async () => {
    const stack = 'Error: a\n    at b'
    const [details, message] = await logged({ 'a\u001b': 'b\u001b[2J\nc', stack }, 'Job [a\nERROR b\r\n\u001b[1A] ran.')
    expect(message).toBe('Job [a\\nERROR b\\n\\u001b[1A] ran.')
    expect(details).toEqual({ 'a\\u001b': 'b\\u001b[2J\nc', stack })
  })

  it('has errors with their names, stacks, codes and causes, without secrets', async () => {
    const cause = new AggregateError([new Error(url)], url)
    const error = Object.assign(new TypeError(url, { cause }), {
      code: 'X',
      detail: url,
      config: { password: 'S3cr3t' },
    })
    const [details] = await logged({ error })
    const shown = details.error as typeof error
    expect(shown).toBeInstanceOf(Error)
    expect(shown).toMatchObject({ name: 'TypeError', message: hiddenUrl, code: 'X', detail: hiddenUrl })
    expect(shown.config.password).toBe('***')
    expect(shown.stack).toContain(`TypeError: ${hiddenUrl}\n    at `)
    expect((shown.cause as AggregateError).errors[0].message).toBe(hiddenUrl)
    expect(error.message).toBe(url)
  })

  it('has no secrets in the descriptions of symbols and the names of functions', async () => {
    const named = Object.defineProperty(() => {}, 'name', { value: `a ${url}` })
    const map = new Map([[Symbol('password'), 'S3cr3t']])
    expect((await logged({ symbol: Symbol(url), named, map }))[0]).toEqual({
      symbol: `Symbol(${hiddenUrl})`,
      named: `[function a ${hiddenUrl}]`,
      map: [['Symbol(password)', '***']],
    })
  })

  it('keeps what has no text', async () => {
    const time = new Date(0)
    expect((await logged({ time, n: 1n, nothing: undefined, no: null, yes: true }))[0]).toEqual({
      time,
      n: 1n,
      nothing: undefined,
      no: null,
      yes: true,
    })
  })

  it('is bounded in depth, values and characters, whatever it is', async () => {
    const round: { self?: object } = {}
    round.self = round
    const endless = {
      *[Symbol.iterator]() {
        for (;;) yield url
      },
    }
    const hostile = new Proxy(
      {},
      { get: () => fail(), ownKeys: () => ['a'], getOwnPropertyDescriptor: () => enumerable },
    )
    const thrower = Object.defineProperty({}, 'a', { enumerable: true, get: fail })
    let deep = new Error(url)
    for (let level = 0; level < 10_000; level++) deep = new Error(url, { cause: deep })
    const [details] = await logged({
      round,
      deep,
      hostile,
      thrower,
      endless,
      odd: Object.assign(new Error('x'), { name: Symbol('x'), message: { toString: fail } }),
      bytes: new Uint8Array(1e7),
      json: { toJSON: fail },
      long: `${'x'.repeat(9990)} ${url} ${'y'.repeat(1e6)}`,
      list: Array.from({ length: 1e6 }, () => url),
    })
    const text = JSON.stringify(details)
    expect(text.length).toBeLessThan(60_000)
    expect(text).not.toContain('S3c')
    expect(details).toMatchObject({ bytes: '10000000 bytes', thrower: { a: undefined }, json: '…' })
  })
})

const enumerable = { enumerable: true, configurable: true }

function fail(): never {
  throw new Error('no')
}
