import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { JobRegistry, type JobStorage, memoryStorage } from 'headgate'
import { bullmqDispatcher } from 'headgate/bullmq'
import { iterableDatasource } from 'headgate/iterable'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { describeRedis } from '../../support/redis.js'

const patience = { timeout: 15_000, interval: 20 }
const limits = { cluster: 4, datasources: { a: 2 } }

describeRedis('bullmqDispatcher keeps its limits when Redis was emptied', (redis) => {
  const { url, prefix } = redis
  const registries: JobRegistry[] = []
  let queue: string
  let storage: JobStorage
  beforeEach(() => {
    queue = randomUUID()
    storage = memoryStorage()
  })
  afterEach(async () => {
    await Promise.all(registries.splice(0).map((registry) => registry.close({ timeout: 1000 })))
  })

  /** Two registries with the same jobs: `count` with a limit on their datasource, and as many without. */
  function openTwo(count: number) {
    const running = new Set<string>()
    const ran: string[] = []
    let most = { all: 0, a: 0 }
    const ends = new Map<string, () => void>()
    const work = async (id: string) => {
      ran.push(id)
      running.add(id)
      const onA = [...running].filter((each) => each.startsWith('a')).length
      most = { all: Math.max(most.all, running.size), a: Math.max(most.a, onA) }
      await new Promise<void>((resolve) => ends.set(id, resolve))
      running.delete(id)
    }
    for (let opened = 0; opened < 2; opened++) {
      const registry = new JobRegistry({
        storage,
        lease: 1500,
        concurrency: limits,
        datasources: { a: iterableDatasource([{ id: 1 }]) },
        dispatcher: bullmqDispatcher({ connection: url, prefix, queue, lockDuration: 1000 }),
      })
      registries.push(registry)
      for (let index = 0; index < count; index++) {
        registry.define({ type: 'ingestion', id: `a${index}`, datasource: 'a', target: () => work(`a${index}`) })
        registry.define({ type: 'test', id: `b${index}`, run: () => work(`b${index}`) })
      }
    }
    const [one, other] = registries as [JobRegistry, JobRegistry]
    const start = () =>
      Promise.all(
        Array.from({ length: count }, (_, index) => [
          one.start('ingestion', `a${index}`),
          other.start('test', `b${index}`),
        ]).flat(),
      )
    const endAll = () => {
      for (const id of [...running]) ends.get(id)?.()
    }
    return { start, endAll, running, ran, most: () => most }
  }

  /** Removes the keys at once, as a flush of the server does. */
  async function empty(): Promise<void> {
    const script = "for _, key in ipairs(redis.call('KEYS', ARGV[1])) do redis.call('DEL', key) end"
    await redis.client.eval(script, 0, `${prefix}:${queue}*`)
  }

  const mark = () => redis.client.hget(`${prefix}:${queue}:meta`, 'headgate')
  const active = () => redis.client.llen(`${prefix}:${queue}:active`)

  test('no execution begins beyond a limit right after', async () => {
    const { start, endAll, ran, most } = openTwo(8)
    await vi.waitFor(async () => expect(await mark()).toMatch(/^[0-9a-f-]{36}$/), patience)
    await empty()
    const executions = await start()
    await sleep(500)
    const timer = setInterval(endAll, 100)
    await Promise.all(executions.map(({ finished }) => finished)).finally(() => clearInterval(timer))
    expect(most()).toEqual({ all: 4, a: 2 })
    expect(ran).toHaveLength(16)
  })

  test('executions that run keep their slots, and all that wait run once', async () => {
    const { start, endAll, running, ran, most } = openTwo(6)
    const executions = await start()
    await vi.waitFor(() => expect(running.size).toBe(4), patience)
    await empty()
    await vi.waitFor(async () => expect(await active()).toBe(4), patience)
    await sleep(5000)
    expect(running.size).toBe(4)
    const timer = setInterval(endAll, 50)
    const ended = await Promise.all(executions.map(({ finished }) => finished)).finally(() => clearInterval(timer))
    expect(new Set(ended.map(({ state }) => state))).toEqual(new Set(['successful']))
    expect(most().all).toBe(4)
    expect(most().a).toBeLessThanOrEqual(2)
    expect(ran).toHaveLength(12)
    await vi.waitFor(async () => expect(await active()).toBe(0), patience)
  })

  test('a turn whose lock ran out in a process that works on is put back', async () => {
    const { start, endAll, running, ran } = openTwo(3)
    const executions = await start()
    await vi.waitFor(() => expect(running.size).toBe(4), patience)
    const list = () => redis.client.lrange(`${prefix}:${queue}:active`, 0, -1)
    const ids = await list()
    await redis.client.del(`${prefix}:${queue}:active`, ...ids.map((id) => `${prefix}:${queue}:${id}:lock`))
    // A worker that looks before they are put back takes one more.
    await vi.waitFor(async () => expect(await list()).toEqual(expect.arrayContaining(ids)), patience)
    const timer = setInterval(endAll, 50)
    await Promise.all(executions.map(({ finished }) => finished)).finally(() => clearInterval(timer))
    expect(ran).toHaveLength(6)
  })

  test('a registry closes while turns are being put back', async () => {
    const { start, endAll, running } = openTwo(6)
    await start()
    await vi.waitFor(() => expect(running.size).toBe(4), patience)
    await empty()
    await vi.waitFor(async () => expect(await mark()).toMatch(/^restoring/), patience)
    const begun = performance.now()
    const closed = Promise.all(registries.map((registry) => registry.close({ timeout: 500 })))
    endAll()
    await closed
    expect(performance.now() - begun).toBeLessThan(8000)
  })

  test.each(['prioritized', 'active', 'meta', 'marker'])('all run when the key [%s] alone is lost', async (key) => {
    const { start, endAll, running, ran } = openTwo(6)
    const executions = await start()
    await vi.waitFor(() => expect(running.size).toBe(4), patience)
    await redis.client.del(`${prefix}:${queue}:${key}`, `${prefix}:${queue}-on-a:${key}`)
    const timer = setInterval(endAll, 100)
    await Promise.all(executions.map(({ finished }) => finished)).finally(() => clearInterval(timer))
    expect(ran).toHaveLength(12)
  })

  test('registries are listed again when the list of the board alone is lost', async () => {
    openTwo(1)
    const list = `${prefix}:${queue}-board:wait`
    await vi.waitFor(async () => expect(await redis.client.llen(list)).toBe(4), patience)
    await redis.client.del(list)
    await vi.waitFor(async () => expect(await redis.client.llen(list)).toBe(4), patience)
  })
})
