import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, inject } from 'vitest'
import { startRedis } from './own-redis.js'

/** A Redis for the whole run. */
export interface RunRedis {
  readonly url: string
  stop(): Promise<void>
}

/**
 * The Redis that `HEADGATE_TEST_REDIS_URL` names, or one of its own by the `redis-server` of the machine; `undefined` when
 * there is none. In CI, that is an error.
 */
export async function reachRedis(): Promise<RunRedis | undefined> {
  const url = process.env.HEADGATE_TEST_REDIS_URL
  try {
    if (url === undefined) return await startRedis()
    await reach(url)
    return { url, stop: async () => {} }
  } catch (error) {
    if (process.env.CI) throw error
    console.warn(`No Redis, so tests that need one are skipped: ${(error as Error).message}`)
    return undefined
  }
}

async function reach(url: string): Promise<void> {
  const client = new Redis(url, { lazyConnect: true, retryStrategy: () => null })
  client.on('error', () => {})
  try {
    await client.connect()
  } finally {
    client.disconnect()
  }
}

/** A Redis in which the tests of one file have keys of their own. */
export interface TestRedis {
  readonly url: string
  /** A prefix for keys that are removed after the tests. */
  readonly prefix: string
  /** A client to look with. */
  readonly client: Redis
  /** Removes the keys of a queue, as a flush of the server would. */
  flush(queue: string): Promise<void>
}

/** `describe` for tests that need a Redis. Skipped when the run has none. */
export function describeRedis(name: string, body: (redis: TestRedis) => void): void {
  const redisUrl = inject('redisUrl')
  const prefix = `headgate-test-${randomUUID()}`
  describe.skipIf(redisUrl === undefined)(name, () => {
    let client: Redis
    const flush = (queue: string) => removeKeys(client, `${prefix}:${queue}*`)
    beforeAll(() => {
      client = new Redis(redisUrl ?? '')
    })
    afterAll(async () => {
      await flush('')
      await client.quit()
    })
    body({
      url: redisUrl ?? '',
      prefix,
      flush,
      get client() {
        return client
      },
    })
  })
}

async function removeKeys(client: Redis, pattern: string): Promise<void> {
  for await (const keys of client.scanStream({ match: pattern, count: 1000 })) {
    if (keys.length > 0) await client.del(...(keys as string[]))
  }
}
