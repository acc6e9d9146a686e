import { JobRegistry, type Logger, memoryStorage } from 'headgate'
import { fakeClock } from 'headgate/testing'
import { expect, it } from 'vitest'

it('a storage that a person has to mend is logged once as an error, and not retried by schedules', async () => {
  const clock = fakeClock(0)
  const log: string[] = []
  const say = (level: string) => (_: object, message: string) => void log.push(`${level}: ${message}`)
  const logger: Logger = { debug: () => {}, info: say('info'), warn: say('warn'), error: say('error') }
  const storage = memoryStorage({ clock })
  const begin = storage.begin.bind(storage)
  let isRefused = true
  let calls = 0
  Object.assign(storage, {
    begin: async (request: Parameters<typeof begin>[0]) => {
      calls++
      if (!isRefused) return begin(request)
      throw Object.assign(new Error('password authentication failed for user "app"'), { code: '28P01' })
    },
  })
  await using registry = new JobRegistry({ storage, clock, logger })
  registry.define({ type: 'test', id: 'a', run: () => {}, schedule: { every: 60_000 } })
  await clock.advance(119_000)
  expect(calls).toBe(1)
  expect(log).toEqual([
    'error: The storage cannot be used. No job starts until that is mended.',
    expect.stringContaining('the storage cannot be used'),
  ])
  await expect(registry.start('test', 'a')).rejects.toMatchObject({ code: 'storage' })
  expect(log).toHaveLength(2)
  isRefused = false
  await clock.advance(2000)
  expect(await registry.status('test', 'a')).toMatchObject({ state: 'successful' })
  isRefused = true
  await expect(registry.start('test', 'a')).rejects.toMatchObject({ code: 'storage' })
  expect(log.filter((line) => line.startsWith('error'))).toHaveLength(2)
})

it('a storage that can be read, and rejects all writes, is logged once', async () => {
  const clock = fakeClock(0)
  const errors: string[] = []
  const logger: Logger = { debug() {}, info() {}, warn() {}, error: (_, message) => void errors.push(String(message)) }
  const storage = memoryStorage({ clock })
  const refuse = async () => {
    throw Object.assign(new Error('permission denied for table jobs'), { code: '42501' })
  }
  Object.assign(storage, { begin: refuse, reset: refuse })
  await using registry = new JobRegistry({ storage, clock, logger })
  registry.define({ type: 'test', id: 'a', run: () => {} })
  for (let second = 0; second < 5; second++) {
    await expect(registry.start('test', 'a')).rejects.toMatchObject({ code: 'storage' })
    expect(await registry.search()).toMatchObject({ total: 0 })
    await clock.advance(1000)
  }
  expect(errors).toEqual(['The storage cannot be used. No job starts until that is mended.'])
})

it.each(['reset', 'requestAbort'])('an error of %s shows in the health as a failed write', async (method) => {
  const clock = fakeClock(0)
  const storage = memoryStorage({ clock })
  let isFull = false
  const answer = (storage as unknown as Record<string, (...given: unknown[]) => unknown>)[method]
  const limited = async (...given: unknown[]) => {
    if (isFull) throw new Error('no space left on device')
    return answer?.apply(storage, given)
  }
  Object.assign(storage, { [method]: limited })
  await using registry = new JobRegistry({ storage, clock })
  registry.define({ type: 'test', id: 'a', run: () => {} })
  await (await registry.start('test', 'a')).finished
  isFull = true
  const call = method === 'reset' ? registry.reset('test', 'a') : registry.abort('test', 'a')
  await expect(call).rejects.toMatchObject({ code: 'storage' })
  const { storage: health } = await registry.health()
  expect(health.error).toEqual([
    expect.stringContaining('The last write'),
    expect.anything(),
    'no space left on device',
  ])
})
