import { createServer } from 'node:http'
import { JobRegistry, memoryStorage, type SearchFilter } from 'headgate'
import { JobsClient } from 'headgate/client'
import { toNodeHandler } from 'headgate/http/node'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { describedHandler } from '../http/described-handler.js'
import { base, defineHeld, listen } from '../http/support.js'

/** What a registry and a client have in common: the same calls, with statuses of the same form. */
interface Jobs {
  has(type: string, id: string): Promise<boolean>
  start(type: string, id: string): Promise<object>
  status(type: string, id: string): Promise<object | undefined>
  running(type: string): Promise<object[]>
  abort(type: string, id: string, options?: { timeout?: number }): Promise<object | undefined>
  search(filter?: SearchFilter): Promise<{ total: number; hits: { executionId: string }[] }>
  /** Waits for the end of an execution that was started. */
  waitFor(type: string, id: string): Promise<object>
  /** What happens from now on, in words, in a list that grows. */
  listen(): Promise<string[]>
}

const ways: Record<string, (registry: JobRegistry) => Promise<Jobs>> = {
  'in the process': async (registry) => ({
    has: async (...job) => registry.has(...job),
    start: async (...job) => (await registry.start(...job)).status,
    status: (...job) => registry.status(...job),
    running: (type) => registry.running(type),
    abort: (...call) => registry.abort(...call),
    search: (filter) => registry.search(filter),
    waitFor: (type, id) =>
      new Promise((resolve) => {
        registry.on('status', ({ status }) => {
          if (status.type === type && status.id === id && 'endTime' in status) resolve(status)
        })
      }),
    async listen() {
      const heard: string[] = []
      registry.on('status', ({ type, id, status }) => heard.push(`${type}/${id} ${status.state} ${status.count}`))
      return heard
    },
  }),
  'over the wire': async (registry) => {
    const { port } = await listen(
      createServer(toNodeHandler(describedHandler(registry))).listeners('request')[0] as never,
    )
    const client = new JobsClient({ url: `http://127.0.0.1:${port}${base}` })
    return {
      has: (...job) => client.has(...job),
      start: (...job) => client.start(...job),
      status: (...job) => client.status(...job),
      running: (type) => client.running(type),
      abort: (...call) => client.abort(...call),
      search: (filter) => client.search(filter),
      waitFor: (...job) => client.waitFor(...job),
      async listen() {
        const heard: string[] = []
        const over = new AbortController()
        onTestFinished(() => over.abort())
        const events = client.events({ signal: over.signal })
        const collect = async () => {
          for await (const { type, id, status } of events) heard.push(`${type}/${id} ${status.state} ${status.count}`)
        }
        collect().catch((error) => {
          if (!over.signal.aborted) heard.push(String(error))
        })
        // The stream is open when it tells of something: of what lives already.
        await client.start('mark', 'opened')
        await vi.waitFor(() => expect(heard.some((text) => text.startsWith('mark/opened'))).toBe(true))
        await client.abort('mark', 'opened')
        await vi.waitFor(() => expect(heard.some((text) => text.startsWith('mark/opened aborted'))).toBe(true))
        heard.splice(0)
        return heard
      },
    }
  },
}

describe.each(Object.entries(ways))('%s', (_, way) => {
  async function setup(options: { concurrency?: number } = {}) {
    const registry = new JobRegistry({ storage: memoryStorage(), progressInterval: 0, ...options })
    onTestFinished(() => registry.close({ timeout: 0 }))
    defineHeld(registry, 'mark', 'opened')
    const job = defineHeld(registry, 'copy', 'a')
    return { registry, job, jobs: await way(registry) }
  }

  const refused = (code: string) => expect.objectContaining({ name: 'JobError', code })

  test('a job runs', async () => {
    const { job, jobs } = await setup()
    expect(await jobs.status('copy', 'a')).toBeUndefined()
    const started = await jobs.start('copy', 'a')
    const base = { type: 'copy', id: 'a', startTime: expect.any(Number), count: 0 }
    const running = { ...base, state: 'running', infos: 'The job is running.' }
    expect(started).toMatchObject(running)
    expect(Object.isFrozen(started)).toBe(true)
    expect(await jobs.status('copy', 'a')).toMatchObject(running)
    expect(await jobs.running('copy')).toEqual([expect.objectContaining(running)])
    const ended = jobs.waitFor('copy', 'a')
    ;(await job.running).progress({ count: 7, lastId: 12 })
    job.end()
    const successful = { ...base, state: 'successful', endTime: expect.any(Number), count: 7, lastId: '12' }
    expect(await ended).toMatchObject(successful)
    expect(await jobs.status('copy', 'a')).toMatchObject(successful)
    expect(await jobs.running('copy')).toEqual([])
  })

  test('a job fails', async () => {
    const { job, jobs } = await setup()
    await jobs.start('copy', 'a')
    const ended = jobs.waitFor('copy', 'a')
    job.end(new Error('no', { cause: new Error('why') }))
    expect(await ended).toMatchObject({ state: 'error', error: ['no', 'why'] })
  })

  test('a job is aborted', async () => {
    const { jobs } = await setup()
    await jobs.start('copy', 'a')
    expect(await jobs.abort('copy', 'a')).toMatchObject({ state: 'aborted', endTime: expect.any(Number) })
    expect(await jobs.abort('copy', 'a')).toMatchObject({ state: 'aborted' })
    expect(await jobs.abort('copy', 'nobody')).toBeUndefined()
  })

  test.each([0, 5])('a job that does not stop within %i ms is aborting', async (timeout) => {
    const { registry, jobs } = await setup()
    const deaf = defineHeld(registry, 'copy', 'deaf', { isDeaf: true })
    await jobs.start('copy', 'deaf')
    expect(await jobs.abort('copy', 'deaf', { timeout })).toMatchObject({ state: 'aborting' })
    deaf.end()
  })

  test('a job waits in line', async () => {
    const { registry, jobs } = await setup({ concurrency: 1 })
    defineHeld(registry, 'copy', 'b')
    await jobs.start('copy', 'a')
    expect(await jobs.start('copy', 'b')).toMatchObject({ state: 'queued' })
    expect(await jobs.status('copy', 'b')).toMatchObject({ state: 'queued' })
    expect(await jobs.running('copy')).toMatchObject([
      { id: 'a', state: 'running' },
      { id: 'b', state: 'queued' },
    ])
  })

  test('the log is searched', async () => {
    const { registry, jobs } = await setup()
    registry.define({ type: 'report', id: 'a/b ?&', run: ({ progress }) => progress({ count: 1 }) })
    for (let n = 0; n < 3; n++) {
      const ended = jobs.start('report', 'a/b ?&').then(() => registry.abort('report', 'a/b ?&'))
      await ended
    }
    const { total, hits } = await jobs.search({ type: 'report', id: 'a/b ?&', startTimeFrom: 0, size: 2 })
    expect([total, hits.length]).toEqual([3, 2])
    expect(hits[0]).toMatchObject({ type: 'report', id: 'a/b ?&', state: 'successful', count: 1 })
    expect(hits[0]?.executionId).toMatch(/^a\/b \?&[\da-f-]{36}$/)
    const rest = await jobs.search({ searchAfter: hits[1]?.executionId as string })
    expect(rest.hits).toHaveLength(1)
    expect(await jobs.search({ state: 'error' })).toEqual({ total: 0, hits: [] })
  })

  test('events tell of every change', async () => {
    const { job, jobs } = await setup()
    const heard = await jobs.listen()
    await jobs.start('copy', 'a')
    ;(await job.running).progress({ count: 1 })
    await vi.waitFor(() => expect(heard).toContain('copy/a running 1'))
    job.end()
    await vi.waitFor(() => expect(heard).toContain('copy/a successful 1'))
    expect(heard).toEqual(['copy/a running 0', 'copy/a running 1', 'copy/a successful 1'])
  })

  test('a job is there, or is not', async () => {
    const { jobs } = await setup()
    expect([await jobs.has('copy', 'a'), await jobs.has('copy', 'nobody')]).toEqual([true, false])
    expect(await jobs.status('copy', 'nobody')).toBeUndefined()
    expect(await jobs.running('nothing')).toEqual([])
  })

  test('what goes wrong has a code', async () => {
    const { registry, jobs } = await setup()
    await expect(jobs.start('copy', 'nobody')).rejects.toThrowError(refused('not_defined'))
    await jobs.start('copy', 'a')
    await expect(jobs.start('copy', 'a')).rejects.toThrowError(refused('already_running'))
    await expect(jobs.start('', 'a')).rejects.toThrowError(refused('invalid_options'))
    await expect(jobs.search({ size: 5000 })).rejects.toThrowError('Expected `size` to be a whole number')
    await expect(jobs.abort('copy', 'a', { timeout: -1 })).rejects.toThrowError('Expected `timeout` to be')
    await registry.close()
    await expect(jobs.start('copy', 'a')).rejects.toThrowError(refused('closed'))
  })
})
