import { isLive } from 'headgate/adapter'
import { type Bug, endedRecord, running, without, withoutField } from './bug.js'

/** Bugs of begin, renew, claim, run, finish and abort, and of expired leases. */
export const writeBugs = {
  'starts two at once': ({ storage }) => ({
    async begin(request) {
      const { type, id, partition } = request
      const before = await storage.find(type, id, partition)
      const { started, execution } = await storage.begin(request)
      const isSecond = isLive(execution.state) && !(before && isLive(before.state))
      return { started: started || isSecond, execution }
    },
  }),
  'forgets the checkpoint at a start': ({ storage }) => ({
    begin: async (request) => withoutField(await storage.begin(request), 'checkpoint'),
  }),
  'inherits the count': ({ storage }) => ({
    async begin(request) {
      const before = await storage.find(request.type, request.id, request.partition)
      const { started, execution } = await storage.begin(request)
      return { started, execution: started && before ? { ...execution, count: before.count } : execution }
    },
  }),
  'clears progress that is not given': ({ storage }) => ({
    renew: (lease, request) => storage.renew(lease, { count: 0, ...request }),
  }),
  'merges details': ({ storage }) => ({
    async renew(lease, { detail, ...request }) {
      const { detail: before } = (await storage.renew(lease, request)) ?? {}
      return storage.renew(lease, { ...request, ...(detail && { detail: { ...before, ...detail } }) })
    },
  }),
  'renews no lease': ({ storage, clock, findLive }) => ({
    async renew(lease, request) {
      const { leaseUntil } = (await findLive(lease)) ?? {}
      return storage.renew(lease, { ...request, lease: leaseUntil ? leaseUntil - clock.now() : request.lease })
    },
  }),
  'hides an abort from renewals': ({ storage }) => ({
    renew: async (lease, request) => running(await storage.renew(lease, request)),
  }),
  'renews under any epoch': ({ storage, findLive }) => ({
    renew: async (lease, request) => storage.renew((await findLive(lease)) ?? lease, request),
  }),
  'claims twice': ({ storage, findLive }) => ({
    claim: async (lease, request) => (await storage.claim(lease, request)) ?? findLive(lease),
  }),
  'claims under any epoch': ({ storage, findLive }) => ({
    claim: async (lease, request) => storage.claim((await findLive(lease)) ?? lease, request),
  }),
  'claims for no lease': ({ storage }) => ({
    claim: (lease, request) => storage.claim(lease, { ...request, lease: 1e15 }),
  }),
  'counts the wait as run': ({ storage, findLive }) => ({
    async claim(lease, request) {
      const { startTime = 0 } = (await findLive(lease)) ?? {}
      const claimed = await storage.claim(lease, request)
      return claimed && { ...claimed, startTime }
    },
  }),
  'lets unclaimed executions expire': ({ storage }) => ({
    begin: (request) => storage.begin({ ...request, lease: request.lease ?? 200 }),
  }),
  'finishes no unclaimed execution': ({ storage, findLive }) => ({
    async finish(lease, request) {
      const record = await findLive(lease)
      return record?.node === null ? undefined : storage.finish(lease, request)
    },
  }),
  'claims as running what is aborting': ({ storage }) => ({
    claim: async (lease, request) => running(await storage.claim(lease, request)),
  }),
  'runs what is aborting': ({ storage }) => ({ run: async (lease) => running(await storage.run(lease)) }),
  'starts again what runs': ({ storage, clock }) => ({
    async run(lease) {
      const record = await storage.run(lease)
      return record && { ...record, startTime: clock.now() }
    },
  }),
  'runs under any epoch': ({ storage, findLive }) => ({
    run: async (lease) => storage.run((await findLive(lease)) ?? lease),
  }),
  'runs after its lease': ({ storage, early }) => ({ run: (lease) => early(() => storage.run(lease)) }),
  'drops the detail at the end': ({ storage }) => ({
    finish: async (lease, request) => without(await storage.finish(lease, request), 'detail'),
  }),
  'ends under any epoch': ({ storage, findLive }) => ({
    finish: async (lease, request) => storage.finish((await findLive(lease)) ?? lease, request),
  }),
  'calls aborted what was asked to abort': ({ storage, findLive }) => ({
    async finish(lease, request) {
      const isAborting = (await findLive(lease))?.state === 'aborting'
      return storage.finish(lease, isAborting ? { ...request, state: 'aborted' } : request)
    },
  }),
  'renews what has ended': ({ storage }) => ({
    renew: async (lease, request) => (await storage.renew(lease, request)) ?? endedRecord(storage, lease),
  }),
  'aborts what has ended': ({ storage }) => ({
    async requestAbort(request) {
      const record = await storage.requestAbort(request)
      return record && { ...record, state: 'aborting' }
    },
  }),
  'aborts whatever is live': ({ storage }) => ({
    requestAbort: ({ executionId: _, ...request }) => storage.requestAbort(request),
  }),
  'ends what has ended': ({ storage }) => ({
    finish: async (lease, request) => (await storage.finish(lease, request)) ?? endedRecord(storage, lease),
  }),
  'finds expired leases': ({ storage, early }) => ({ find: (...job) => early(() => storage.find(...job)) }),
  'lists expired leases': ({ storage, early }) => ({ live: (filter) => early(() => storage.live(filter)) }),
  'searches no expired leases': ({ storage, early }) => ({ search: (filter) => early(() => storage.search(filter)) }),
  'aborts expired leases': ({ storage, early }) => ({
    requestAbort: (request) => early(() => storage.requestAbort(request)),
  }),
  'lists no expired leases as orphans': ({ storage, early }) => ({
    orphans: (page) => early(() => storage.orphans(page)),
  }),
  'begins no job with an expired lease': ({ storage, early }) => ({
    async begin(request) {
      const last = await early(() => storage.find(request.type, request.id, request.partition))
      return last && isLive(last.state) ? { started: false, execution: last } : storage.begin(request)
    },
  }),
  'renews expired leases': ({ storage, clock, early }) => ({
    renew: (lease, request) => early(() => storage.renew(lease, { ...request, lease: clock.now() + request.lease })),
  }),
  'ends nothing late': ({ storage }) => ({
    async finish(lease, request) {
      await storage.search({ size: 0 })
      return storage.finish(lease, request)
    },
  }),
} satisfies Record<string, Bug>
