import { JobRegistry, memoryStorage } from 'headgate'
import { JobsClient } from 'headgate/client'
import { createJobsHandler } from 'headgate/http'
import { fakeClock } from 'headgate/testing'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { base } from '../http/support.js'

function connect(storage = memoryStorage()) {
  const registry = new JobRegistry({ storage, node: 'worker-1', clock: fakeClock() })
  onTestFinished(() => registry.close({ timeout: 0 }))
  registry.define({ type: 'report', id: 'sales', run: () => {} })
  const handler = createJobsHandler(registry)
  const fetch = vi.fn((url: string, init?: RequestInit) => handler(new Request(url, init)))
  return { registry, fetch, client: new JobsClient({ url: `http://host${base}`, fetch: fetch as never }) }
}

type Options = Record<string, unknown>

/** Every call with its last argument. */
const calls: Record<string, (client: JobsClient, options: Options) => Promise<unknown>> = {
  has: (client, options) => client.has('report', 'sales', options),
  start: (client, options) => client.start('report', 'sales', options),
  jobs: (client, options) => client.jobs(options),
  pause: (client, options) => client.pause('report', 'sales', options),
  unpause: (client, options) => client.unpause('report', 'sales', options),
  pauseAll: (client, options) => client.pauseAll(options),
  unpauseAll: (client, options) => client.unpauseAll(options),
  status: (client, options) => client.status('report', 'sales', options),
  running: (client, options) => client.running('report', options),
  abort: (client, options) => client.abort('report', 'sales', options),
  reset: (client, options) => client.reset('report', 'sales', options),
  search: (client, options) => client.search(options),
  health: (client, options) => client.health(options),
  waitFor: (client, options) => client.waitFor('report', 'sales', options),
  events: (client, options) => client.events(options).next(),
  request: (client, options) => client.request({ path: [], ...options }),
}

describe('calls of a client', () => {
  test('are all of them', () => {
    const names = Object.getOwnPropertyNames(JobsClient.prototype).filter((name) => name !== 'constructor')
    expect(names.sort()).toEqual(Object.keys(calls).sort())
  })

  test.each(Object.keys(calls))('with an unknown option are refused, and not sent: %s', async (name) => {
    const { client, fetch } = connect()
    const made = calls[name]?.(client, { checkpiont: { lastId: '3' } })
    await expect(made).rejects.toThrow(
      /^Expected `options` to be an object with `signal`.*, got `checkpiont` \(string\)$/,
    )
    await expect(made).rejects.toMatchObject({ code: 'invalid_options' })
    expect(fetch).not.toHaveBeenCalled()
  })

  test.each(Object.keys(calls))('with another value than a signal are refused, and not sent: %s', async (name) => {
    const { client, fetch } = connect()
    await expect(calls[name]?.(client, { signal: 5 })).rejects.toThrow(
      /^Expected `signal` to be .*, got `5` \(number\)$/,
    )
    expect(fetch).not.toHaveBeenCalled()
  })

  test.each([
    ['start', { params: 'acme' }],
    ['start', { fullRefresh: 'yes' }],
    ['start', { force: ['true'] }],
    ['status', { detail: 1 }],
    ['pause', { by: ['ann'] }],
    ['abort', { timeout: '5s' }],
    ['abort', { reason: {} }],
    ['search', { size: ['5'] }],
    ['search', { startTimeFrom: new Date(5) }],
    ['health', { timeout: -1 }],
    ['events', { onGap: 1 }],
    ['events', { state: ['running'] }],
  ])('with a wrong value are refused, and not sent: %s %j', async (name, options) => {
    const { client, fetch } = connect()
    const [option] = Object.keys(options)
    await expect(calls[name]?.(client, options)).rejects.toThrow(`Expected \`${option}\` to be `)
    expect(fetch).not.toHaveBeenCalled()
  })
})

describe('the health of a server', () => {
  test('is that of its registry', async () => {
    const { client, registry } = connect()
    expect(await client.health({ timeout: 500 })).toEqual(await registry.health())
    expect(await client.health()).toMatchObject({ status: 'ok', node: 'worker-1', storage: { isReachable: true } })
  })

  test('is told also when its storage does not answer, and when it is closed', async () => {
    const storage = memoryStorage()
    const { client, registry } = connect(storage)
    vi.spyOn(storage, 'search').mockRejectedValue(new Error('secret'))
    if (storage.isWritable) vi.spyOn(storage, 'isWritable').mockRejectedValue(new Error('secret'))
    const { storage: found, ...health } = await client.health()
    expect(health).toMatchObject({ status: 'unreachable' })
    expect(found).toMatchObject({ isReachable: false, error: [expect.not.stringContaining('secret')] })
    await registry.close()
    expect(await client.health()).toMatchObject({ status: 'closed' })
  })

  test.each([
    [200, { status: 'ok', node: 'a' }],
    [503, { error: { type: 'storage', reason: 'x' }, status: 503 }],
  ])('is that of a registry, and no other answer: %i %j', async (status, body) => {
    const client = new JobsClient({ url: '/jobs', fetch: async () => Response.json(body, { status }) })
    await expect(client.health()).rejects.toMatchObject({ name: 'JobError' })
  })
})

test('what waitFor resolves with has the id of the execution, live or ended', async () => {
  const { client, registry } = connect()
  const { finished } = await registry.start('report', 'sales')
  const waited = client.waitFor('report', 'sales')
  const { executionId } = await finished
  expect((await waited).executionId).toBe(executionId)
  const ended = await client.waitFor('report', 'sales')
  expect(ended.executionId).toBe(executionId)
  expect(ended).not.toHaveProperty('detail')
  expect(Object.isFrozen(ended)).toBe(true)
})
