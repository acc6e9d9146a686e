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
