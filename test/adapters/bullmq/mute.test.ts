import { JobRegistry, type Logger, memoryStorage } from 'headgate'
import { bullmqDispatcher } from 'headgate/bullmq'
import { expect, onTestFinished, test, vi } from 'vitest'
import { type MuteProxy, muteProxyTo } from '../../support/mute-proxy.js'
import { describeRedis } from '../../support/redis.js'

const soon = { timeout: 45_000, interval: 50 }

/** How long a connection waits for an answer, in milliseconds: longer than a worker of BullMQ waits for a job. */
const socketTimeout = 6500

describeRedis('bullmqDispatcher whose Redis accepts connections and does not answer', ({ url, prefix }) => {
  async function open(queue: string, connectionOf: (proxy: MuteProxy) => object | string) {
    const proxy = await muteProxyTo(url)
    const dispatcher = bullmqDispatcher({ connection: connectionOf(proxy), prefix, queue })
    const log: string[] = []
    const write = (details: { error?: string[] }, message: string) =>
      void log.push([message, ...(details.error ?? [])].join(' '))
    const logger: Logger = { debug: () => {}, info: write, warn: write, error: write }
    const registry = new JobRegistry({ storage: memoryStorage(), dispatcher, lease: 1000, logger })
    onTestFinished(async () => {
      await registry.close()
      proxy.close()
    })
    for (const id of ['a', 'b']) registry.define({ type: 'test', id, run: () => {} })
    return { registry, proxy, log }
  }

  /** Calls a registry whose Redis does not answer, and lets it answer again. */
  async function surviveSilence({ registry, proxy, log }: { registry: JobRegistry; proxy: MuteProxy; log: string[] }) {
    const begun = Date.now()
    const { status } = await registry.start('test', 'b')
    expect(status.state).toBe('queued')
    expect(Date.now() - begun).toBeLessThan(3000)
    const noAnswer = (method: string) => ({
      code: 'dispatcher',
      message: `The dispatcher gave no answer to \`${method}\` within 5000 ms.`,
    })
    await Promise.all([
      expect(registry.queued()).rejects.toMatchObject(noAnswer('waiting')),
      expect(registry.setPriority('test', 'b', 5)).rejects.toMatchObject(noAnswer('move')),
    ])
    expect(Date.now() - begun).toBeLessThan(10_000)
    await vi.waitFor(() => expect(log.join('\n')).toContain(noAnswer('add').message), soon)
    expect(await registry.status('test', 'b')).toMatchObject({ state: 'queued' })
    proxy.heal()
    await vi.waitFor(
      async () => expect(await registry.status('test', 'b')).toMatchObject({ state: 'successful' }),
      soon,
    )
    await vi.waitFor(async () => expect(await registry.queued()).toEqual({ total: 0, hits: [] }), soon)
    expect(log.length).toBeLessThan(60)
  }

  test('any more is noticed, and jobs run when it answers again', { timeout: 90_000 }, async () => {
    const world = await open('falls-silent', (proxy) => {
      const { hostname: host, port } = new URL(proxy.url)
      return { host, port: Number(port), socketTimeout }
    })
    await world.registry.start('test', 'a')
    await vi.waitFor(
      async () => expect(await world.registry.status('test', 'a')).toMatchObject({ state: 'successful' }),
      soon,
    )
    world.proxy.mute()
    await surviveSilence(world)
  })

  test('from the beginning is noticed, and jobs run when it answers', { timeout: 90_000 }, async () => {
    const connectionOf = (proxy: MuteProxy) => {
      proxy.mute()
      return proxy.url
    }
    await surviveSilence(await open('silent-from-the-beginning', connectionOf))
  })
})
