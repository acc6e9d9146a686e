import { type RedisBackend, runnerOf } from './redis.js'

/** Removes jobs that are neither in a list of queued or active jobs nor locked by a worker. Returns the locked ones. */
const removeLost = {
  name: 'headgateRemoveLost',
  numberOfKeys: 5,
  lua: `
    local active, wait, paused, prioritized, delayed = unpack(KEYS)
    local listed
    local function isListed(id)
      if redis.call('ZSCORE', prioritized, id) or redis.call('ZSCORE', delayed, id) then return true end
      if not listed then
        listed = {}
        for _, list in ipairs({ active, wait, paused }) do
          for _, each in ipairs(redis.call('LRANGE', list, 0, -1)) do listed[each] = true end
        end
      end
      return listed[id]
    end
    local locked = {}
    for index = 2, #ARGV do
      local id = ARGV[index]
      local job = ARGV[1] .. id
      if redis.call('EXISTS', job .. ':lock') == 1 then
        table.insert(locked, id)
      elseif redis.call('EXISTS', job) == 1 and not isListed(id) then
        redis.call('DEL', job)
      end
    end
    return locked`,
}

/**
 * Removes jobs whose list Redis has lost, so that they can be added again: BullMQ does not add a job whose id exists.
 * Postgres holds both in one row. Returns the ids of jobs that workers have locked.
 */
export async function removeLostJobs(engine: object, ids: readonly string[]): Promise<string[]> {
  const backend = engine as RedisBackend
  const run = await runnerOf(backend, removeLost)
  const lists = ['active', 'wait', 'paused', 'prioritized', 'delayed'].map((list) => backend.keys[list] as string)
  return (await run([...lists, backend.toKey(''), ...ids])) as string[]
}
