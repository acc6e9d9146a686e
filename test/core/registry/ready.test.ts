import { JobError, JobRegistry, type JobStorage, localDispatcher, memoryStorage } from 'headgate'
import type { Datasource, Target } from 'headgate/adapter'
import { fakeClock } from 'headgate/testing'
import { describe, expect, it } from 'vitest'

const datasource: Datasource = { kind: 'test', async *read() {} }

/** A storage whose reads fail as long as `failing` gives an error. */
function storageThat(failing: () => unknown): JobStorage {
  const storage = memoryStorage()
  const search = storage.search.bind(storage)
  return Object.assign(storage, {
    search: async (filter: object) => {
      const error = failing()
      if (error) throw error
      return search(filter)
    },
  })
}

describe('ready', () => {
  it('resolves when storage and dispatcher answer', async () => {
    await using registry = new JobRegistry({ storage: memoryStorage() })
    await registry.ready()
  })

  it('rejects at once with the reason of the storage', async () => {
    const refused = Object.assign(new Error('password authentication failed'), { code: '28P01' })
    await using registry = new JobRegistry({ storage: storageThat(() => refused) })
    const error = await registry.ready().catch((error) => error)
    expect(error).toMatchObject({ code: 'storage', message: 'The storage is not ready.' })
    expect(error.cause.cause).toBe(refused)
  })

  it('rejects for a storage that is read-only', async () => {
    const storage = Object.assign(memoryStorage(), { isWritable: async () => false })
    await using registry = new JobRegistry({ storage })
    await expect(registry.ready()).rejects.toMatchObject({ cause: { message: 'The storage is read-only.' } })
  })

  it('tries again after transient errors, until the timeout', async () => {
    const clock = fakeClock()
    const starting = Object.assign(new Error('the database system is starting up'), { code: '57P03' })
    let failures = 3
    await using registry = new JobRegistry({ storage: storageThat(() => failures-- > 0 && starting), clock })
    const ready = registry.ready()
    await clock.advance(10_000)
    await ready
    failures = Number.POSITIVE_INFINITY
    const late = expect(registry.ready({ timeout: 5000 })).rejects.toMatchObject({ cause: { cause: starting } })
    await clock.advance(5000)
    await late
  })

  it('gives up a dispatcher that does not answer', async () => {
    const clock = fakeClock()
    const dispatcher = Object.assign(localDispatcher(), { waiting: () => new Promise<never>(() => {}) })
    await using registry = new JobRegistry({ storage: memoryStorage(), dispatcher, clock })
    const late = expect(registry.ready({ timeout: 2000 })).rejects.toMatchObject({
      code: 'dispatcher',
      message: 'The dispatcher is not ready.',
      cause: { message: 'There was no answer within 2000 ms.' },
    })
    await clock.advance(2000)
    await late
  })

  it('rejects with the reason that the dispatcher gives', async () => {
    const refused = new Error('WRONGPASS')
    const check = () => Promise.reject(refused)
    const dispatcher = Object.assign(localDispatcher(), { check })
    await using registry = new JobRegistry({ storage: memoryStorage(), dispatcher })
    await expect(registry.ready()).rejects.toMatchObject({ code: 'dispatcher', cause: { cause: refused } })
  })

  it('rejects when the registry closes while it waits', async () => {
    const clock = fakeClock()
    const starting = Object.assign(new Error('the database system is starting up'), { code: '57P03' })
    const registry = new JobRegistry({ storage: storageThat(() => starting), clock })
    const waiting = expect(registry.ready()).rejects.toMatchObject({ code: 'closed' })
    await registry.close()
    await waiting
  })

  it('checks datasources and targets when asked for', async () => {
    const checks: string[] = []
    const failing = (name: string) => async () => {
      checks.push(name)
      throw new JobError('target', 'No such table.')
    }
    const target: Target = { kind: 'test', open: () => ({ writer: { write() {} } }), check: failing('target') }
    const check = async () => void checks.push('datasource')
    await using registry = new JobRegistry({ storage: memoryStorage(), datasources: { one: { ...datasource, check } } })
    registry.define({ id: 'a', datasource: 'one', target })
    registry.define({ id: 'b', datasource, target: () => {} })
    await registry.ready()
    expect(checks).toEqual([])
    await registry.ready({ datasources: true })
    expect(checks).toEqual(['datasource'])
    await expect(registry.ready({ targets: true })).rejects.toMatchObject({
      code: 'target',
      message: 'The target of job [ingestion/a] is not ready.',
      cause: { message: 'No such table.' },
    })
  })

  it('rejects when the registry is closed, and for options that are not valid', async () => {
    const registry = new JobRegistry({ storage: memoryStorage() })
    await expect(registry.ready({ timeout: 0 })).rejects.toMatchObject({ code: 'invalid_options' })
    await registry.close()
    await expect(registry.ready()).rejects.toMatchObject({ code: 'closed' })
  })
})
