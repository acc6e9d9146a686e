import { type RedisBackend, runnerOf } from './redis.js'

type Verb = (...given: unknown[]) => Promise<unknown>

/** The calls of a worker that may return a job, with the index of its token among the arguments. */
const verbs = { moveToActive: 0, moveToCompleted: 3, moveToFailed: 3 } as const

/** Removes the jobs that a worker locked with a token, except the one that it may be running. */
const removeLocked = {
  name: 'headgateRemoveLocked',
  numberOfKeys: 2,
  lua: `
    local removed = {}
    for _, id in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
      local job = ARGV[1] .. id
      if id ~= ARGV[3] and redis.call('GET', job .. ':lock') == ARGV[2] then
        redis.call('LREM', KEYS[1], 1, id)
        redis.call('DEL', job, job .. ':lock')
        table.insert(removed, id)
      end
    end
    -- As BullMQ does, to wake workers that wait.
    if #removed > 0 then redis.call('ZADD', KEYS[2], 0, '0') end
    return removed`,
}

/**
 * Removes jobs on Redis that BullMQ cannot read, such as one whose key is a text, or whose options are not JSON.
 * BullMQ fails after making such a job active, so it would hold a slot of the limit. Storage re-queues an execution
 * that is removed this way.
 */
export function removeUnreadable(engine: object, warn: (error: unknown) => void): void {
  const backend = engine as RedisBackend & Record<keyof typeof verbs, Verb>
  for (const [verb, position] of Object.entries(verbs) as [keyof typeof verbs, number][]) {
    const ask = backend[verb]
    backend[verb] = async (...given) => {
      try {
        return await ask.apply(backend, given)
      } catch (error) {
        const { id = '' } = Object(given[0]) as { id?: string }
        if (isUnreadable(error)) await remove(backend, String(given[position]), id, warn).catch(warn)
        throw error
      }
    }
  }
}

async function remove(backend: RedisBackend, token: string, except: string, warn: (error: unknown) => void) {
  const run = await runnerOf(backend, removeLocked)
  const { active = '', marker = '' } = backend.keys
  const removed = (await run([active, marker, backend.toKey(''), token, except])) as string[]
  for (const id of removed) warn(new Error(`Removed job ${id} of BullMQ, which cannot be read.`))
}

/** Whether Redis rejected a key operation of a script, or BullMQ could not parse its result. */
function isUnreadable(error: unknown): boolean {
  return error instanceof SyntaxError || error instanceof TypeError || /reply/i.test((error as Error)?.name)
}
