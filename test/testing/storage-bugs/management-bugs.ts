import type { JobStorage } from 'headgate'
import { executionOrder, isLive, type OpenEnds, type Pauses } from 'headgate/adapter'
import { type Bug, type Sound, without, withoutField } from './bug.js'

function pausesWith({ storage }: Sound, broken: (sound: Pauses) => Partial<Pauses>): Partial<JobStorage> {
  const { pauses } = storage
  return pauses ? { pauses: { ...pauses, ...broken(pauses) } } : {}
}

function endsWith({ storage }: Sound, broken: (sound: OpenEnds) => Partial<OpenEnds>): Partial<JobStorage> {
  const { ends } = storage
  if (!ends) return {}
  const sound: OpenEnds = {
    claim: (request) => ends.claim(request),
    settle: (executionId) => ends.settle(executionId),
  }
  return { ends: { ...sound, ...broken(sound) } }
}

/** Bugs of parameters, reasons and log tails, and of what manages jobs. */
export const managementBugs = {
  'forgets params': ({ storage }) => ({
    begin: async (request) => withoutField(await storage.begin(request), 'params'),
  }),
  'keeps params for the next start': ({ storage }) => ({
    async begin(request) {
      const { params } = (await storage.find(request.type, request.id)) ?? {}
      return storage.begin({ ...(params && { params }), ...request })
    },
  }),
  'resumes without params': ({ storage }) => ({
    async begin(request) {
      const begun = await storage.begin(request)
      return request.resumedFrom !== undefined && !request.params ? withoutField(begun, 'params') : begun
    },
  }),
  'keeps the params of its caller': ({ storage }) => ({
    async begin(request) {
      const { started, execution } = await storage.begin(request)
      return { started, execution: { ...execution, ...(request.params && { params: request.params }) } }
    },
  }),
  'keeps the earlier checkpoint': ({ storage }) => ({
    begin: ({ checkpoint: _, ...request }) => storage.begin(request),
  }),
  'gives the last reason': ({ storage }) => ({
    async requestAbort(request) {
      const record = await storage.requestAbort(request)
      return record && { ...record, ...(request.reason !== undefined && { abortReason: request.reason }) }
    },
  }),
  'appends log tails': ({ storage, findLive }) => ({
    async renew(lease, { logTail, ...request }) {
      const before = (await findLive(lease))?.logTail ?? []
      return storage.renew(lease, { ...request, ...(logTail && { logTail: [...before, ...logTail] }) })
    },
  }),
  'drops the log tail at the end': ({ storage }) => ({
    finish: async (lease, request) => without(await storage.finish(lease, request), 'logTail'),
  }),
  'gives the latest that have ended': ({ storage }) => ({
    latest: async (jobs) => ((await storage.latest?.(jobs)) ?? []).filter(({ state }) => !isLive(state)),
  }),
  'gives the latest of few': ({ storage }) => ({
    latest: async (jobs) => (await storage.latest?.(jobs.slice(0, 3))) ?? [],
  }),
  'gives expired leases as the latest': ({ storage, early }) => ({
    latest: async (jobs) => (await early(() => storage.latest?.(jobs))) ?? [],
  }),
  'lists no pauses': (sound) => pausesWith(sound, () => ({ list: async () => [] })),
  'forgets who paused': (sound) =>
    pausesWith(sound, ({ pause }) => ({ pause: (scope, { by: _, ...request }) => pause(scope, request) })),
  'gives no time of pauses': (sound) =>
    pausesWith(sound, ({ pause }) => ({ pause: async (...pausing) => ({ ...(await pause(...pausing)), since: NaN }) })),
  'pauses anew': (sound) =>
    pausesWith(sound, ({ pause, unpause }) => ({
      async pause(scope, request) {
        await unpause(scope)
        return pause(scope, request)
      },
    })),
  'unpauses jobs with all': (sound) =>
    pausesWith(sound, ({ list, unpause }) => ({
      async unpause(scope) {
        if (scope.type === undefined) for (const { type, id } of await list()) if (type) await unpause({ type, id })
        return unpause(scope)
      },
    })),
  'resets nothing': ({ storage }) => ({
    async reset(type, id, { checkpoint }) {
      const execution = await storage.find(type, id)
      return { reset: true, ...(execution && { execution: { ...execution, checkpoint } }) }
    },
  }),
  'resets live jobs': ({ storage }) => ({
    async reset(type, id, request) {
      const last = await storage.find(type, id)
      const renewed = last && (await storage.renew(last, { lease: 60_000, ...request }))
      if (renewed) return { reset: true, execution: renewed }
      return (await storage.reset?.(type, id, request)) ?? { reset: false }
    },
  }),
  'resets expired leases as live': ({ storage, early }) => ({
    reset: async (...job) => (await early(() => storage.reset?.(...job))) ?? { reset: false },
  }),
  'resets no partitions': ({ storage }) => ({
    async reset(type, id, request) {
      const before = await Promise.all([0, 1].map((partition) => storage.find(type, id, partition)))
      const answer = (await storage.reset?.(type, id, request)) ?? { reset: false }
      for (const record of before) {
        if (!record || isLive(record.state)) continue
        const { partition = 0, checkpoint } = record
        const again = { type, id, partition, state: 'running', node: 'n', lease: 1000 } as const
        const { execution } = await storage.begin(again)
        await storage.finish(execution, { state: 'successful', checkpoint })
      }
      return answer
    },
  }),
  'resets under live partitions': ({ storage }) => ({
    async reset(type, id, request) {
      const answer = (await storage.reset?.(type, id, request)) ?? { reset: false }
      return answer.execution?.partition === undefined ? answer : { ...answer, reset: true }
    },
  }),
  'resets whichever execution is the last one': ({ storage }) => ({
    reset: async (type, id, { checkpoint }) => (await storage.reset?.(type, id, { checkpoint })) ?? { reset: false },
  }),
  'resets no job that never ran': ({ storage }) => ({
    async reset(type, id, request) {
      if (!(await storage.find(type, id))) return { reset: true }
      return (await storage.reset?.(type, id, request)) ?? { reset: false }
    },
  }),
  'claims more ends than asked': (sound) =>
    endsWith(sound, ({ claim }) => ({ claim: (request) => claim({ ...request, size: 1000 }) })),
  'claims ends again at once': (sound) =>
    endsWith(sound, ({ claim }) => ({ claim: (request) => claim({ ...request, lease: 0 }) })),
  'claims ends for ever': (sound) =>
    endsWith(sound, ({ claim }) => ({ claim: (request) => claim({ ...request, lease: 1e15 }) })),
  'claims ends of the jobs that are left out': (sound) =>
    endsWith(sound, ({ claim }) => ({ claim: ({ except: _, ...request }) => claim(request) })),
  'claims ends by their starts': (sound) =>
    endsWith(sound, ({ claim }) => ({
      async claim(request) {
        const order = ({ executionId }: { executionId: string }) => executionOrder(executionId) ?? ''
        return (await claim(request)).sort((a, b) => (order(a) < order(b) ? -1 : 1))
      },
    })),
  'notifies of the next end too': ({ storage }) => ({
    async begin(request) {
      const { notifiesEnd } = (await storage.find(request.type, request.id)) ?? {}
      return storage.begin({ ...(notifiesEnd && { notifiesEnd }), ...request })
    },
  }),
  'settles no ends': (sound) => endsWith(sound, () => ({ settle: async () => {} })),
  'settles the last ends only': (sound) =>
    endsWith(sound, ({ settle }) => ({
      async settle(executionId) {
        const last = await sound.storage.find('test', executionId.slice(0, -36))
        if (last?.executionId === executionId) await settle(executionId)
      },
    })),
  'takes every later start for a resume': ({ storage }) => ({
    async begin(request) {
      const before = await storage.find(request.type, request.id)
      const begun = await storage.begin(request)
      if (begun.started && before?.isOrphaned) await storage.ends?.settle(before.executionId)
      return begun
    },
  }),
  'notifies of no lost nodes': (sound) =>
    endsWith(sound, ({ claim }) => ({
      claim: async (request) => (await claim(request)).filter(({ isOrphaned }) => !isOrphaned),
    })),
} satisfies Record<string, Bug>
