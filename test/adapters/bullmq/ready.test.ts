import { errorMessages, JobRegistry, memoryStorage } from 'headgate'
import { bullmqDispatcher } from 'headgate/bullmq'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { isRedisThere, type OwnRedis, startRedis } from '../../support/own-redis.js'

describe.skipIf(!isRedisThere())('ready, with a queue on Redis', () => {
  let redis: OwnRedis
  beforeAll(async () => {
    redis = await startRedis()
  })
  beforeEach(() => redis.restart())
  afterAll(() => redis.stop())

  const registryOn = (connection: string) =>
    new JobRegistry({ storage: memoryStorage(), dispatcher: bullmqDispatcher({ connection }) })

  test('resolves when it answers, also after an outage', async () => {
    await using registry = registryOn(redis.url)
    await registry.ready()
    await redis.kill()
    const ready = registry.ready()
    await redis.restart()
    await ready
  })

  test('rejects with the reason when it is down', async () => {
    await redis.kill()
    await using registry = registryOn(redis.url)
    const error = await registry.ready({ timeout: 1500 }).catch((error) => error)
    expect(error).toMatchObject({ code: 'dispatcher', message: 'The dispatcher is not ready.' })
    expect(errorMessages(error).join(' ')).toContain('ECONNREFUSED')
  })

  test('rejects at once when it refuses the password', async () => {
    const client = new Redis(redis.url)
    await client.config('SET', 'requirepass', 'secret')
    client.disconnect()
    const wrong = new URL(redis.url)
    wrong.password = 'other'
    await using registry = registryOn(wrong.href)
    const error = await registry.ready().catch((error) => error)
    expect(errorMessages(error).join(' ')).toContain('WRONGPASS')
  })

  test('rejects when it hangs', async () => {
    await using registry = registryOn(redis.url)
    await registry.ready()
    redis.freeze()
    await expect(registry.ready({ timeout: 1000 })).rejects.toMatchObject({
      cause: { message: 'There was no answer within 1000 ms.' },
    })
  })
})
