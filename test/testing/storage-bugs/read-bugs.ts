import { isLive, type StorageChange } from 'headgate/adapter'
import { type Bug, endedRecord, watching, withoutField, withoutSize, withoutTime } from './bug.js'

/** Bugs of orphans, partitions, retention, schedules, searches, values and watch. */
export const readBugs = {
  'calls orphans what was asked to abort': ({ storage }) => ({
    async finish(lease, request) {
      const record = await storage.finish(lease, request)
      return record && { ...record, ...(request.isOrphaned && { isOrphaned: true }) }
    },
  }),
  'makes no orphan at a close': ({ storage }) => ({
    finish: (lease, { isOrphaned: _, ...request }) => storage.finish(lease, request),
  }),
  'lists resumed orphans': ({ storage }) => ({
    async orphans({ size, ...filter } = {}) {
      const { hits } = await storage.search({ ...filter, size: 1000 })
      return {
        hits: hits
          .filter(({ isOrphaned }) => isOrphaned)
          .reverse()
          .slice(0, size),
      }
    },
  }),
  'lists orphans in one page': ({ storage }) => ({
    orphans: (page = {}) => storage.orphans(withoutSize(page)),
  }),
  'forgets what it resumes': ({ storage }) => ({
    begin: async (request) => withoutField(await storage.begin(request), 'resumedFrom'),
  }),
  'resumes what is no orphan': ({ storage }) => ({
    async begin({ resumedFrom, ...request }) {
      const last = await storage.find(request.type, request.id, request.partition)
      const isLast = last?.executionId === resumedFrom
      return storage.begin({
        ...request,
        ...(resumedFrom !== undefined && !(isLast && !last?.isOrphaned) && { resumedFrom }),
      })
    },
  }),
  'lists partitions unasked': ({ storage }) => ({
    live: (filter) => storage.live({ ...filter, includePartitions: true }),
  }),
  'searches partitions unasked': ({ storage }) => ({
    search: (filter) => storage.search({ ...filter, includePartitions: true }),
  }),
  'lists no orphaned partitions': ({ storage }) => ({
    orphans: (page) => storage.orphans({ ...page, includePartitions: false }),
  }),
  'aborts the job of a partition': ({ storage }) => ({
    async requestAbort(request) {
      const { type, id, partition } = request
      if (partition !== undefined) await storage.requestAbort({ type, id })
      return storage.requestAbort(request)
    },
  }),
  'finds the job in place of a partition': ({ storage }) => ({
    find: async (...job) => (await storage.find(...job)) ?? storage.find(job[0], job[1]),
  }),
  'deletes the last executions of jobs': ({ storage, maxCount }) => ({
    async find(...job) {
      const record = await storage.find(...job)
      if (!record || isLive(record.state) || maxCount === undefined) return record
      return endedRecord(storage, record)
    },
  }),
  'deletes live executions': ({ storage, maxCount = Number.POSITIVE_INFINITY }) => ({
    async live(filter) {
      const { total } = await storage.search({ size: 0 })
      return total < maxCount ? storage.live(filter) : { hits: [] }
    },
  }),
  'deletes the newest executions': ({ storage, maxCount = Number.POSITIVE_INFINITY }) => ({
    async search(filter) {
      const { total, hits } = await storage.search(filter)
      return { total, hits: total < maxCount ? hits : hits.slice(1) }
    },
  }),
  'deletes the times of schedules': ({ storage, maxCount }) => ({
    async begin(request) {
      const last = await storage.find(request.type, request.id, request.partition)
      const isGone = maxCount !== undefined && last && !(await endedRecord(storage, last))
      const result = await storage.begin(isGone ? withoutTime(request) : request)
      return isGone ? withoutField(result, 'scheduledFor') : result
    },
  }),
  'starts a scheduled time twice': ({ storage }) => ({
    async begin(request) {
      const result = await storage.begin(request)
      const { scheduledFor, state } = result.execution
      const isRepeat = request.scheduledFor !== undefined && request.scheduledFor === scheduledFor && !isLive(state)
      return !result.started && isRepeat ? storage.begin(withoutTime(request)) : result
    },
  }),
  'starts earlier times': ({ storage }) => ({
    async begin(request) {
      const last = await storage.find(request.type, request.id, request.partition)
      const isEarlier = (request.scheduledFor ?? Number.POSITIVE_INFINITY) < (last?.scheduledFor ?? 0)
      return storage.begin(isEarlier ? withoutTime(request) : request)
    },
  }),
  'shares the times of jobs': ({ storage }) => {
    let latest = -1
    return {
      async begin(request) {
        const { scheduledFor, ...rest } = request
        const isLate = scheduledFor !== undefined && scheduledFor < latest && scheduledFor > 0
        const result = await storage.begin(isLate ? rest : request)
        latest = Math.max(latest, result.execution.scheduledFor ?? -1)
        return result
      },
    }
  },
  'logs no times of schedules': ({ storage }) => ({
    async search(filter) {
      const { total, hits } = await storage.search(filter)
      return { total, hits: hits.map(({ scheduledFor: _, ...hit }) => hit) }
    },
  }),
  'skips nothing': ({ storage }) => ({ search: ({ from: _, ...filter }) => storage.search(filter) }),
  'gives all at once': ({ storage }) => ({ search: (filter) => storage.search({ size: 1000, ...filter }) }),
  'ends its ranges early': ({ storage }) => ({
    search: ({ startTimeTo, ...filter }) =>
      storage.search({ ...filter, ...(startTimeTo !== undefined && { startTimeTo: startTimeTo - 1 }) }),
  }),
  'ignores the state': ({ storage }) => ({
    search: ({ state, ...filter }) => storage.search(state && isLive(state) ? { ...filter, state } : filter),
  }),
  'counts the page': ({ storage }) => ({
    async search(filter) {
      const { hits } = await storage.search(filter)
      return { total: hits.length, hits }
    },
  }),
  'needs the execution of searchAfter': ({ storage }) => ({
    async search(filter) {
      const { hits } = await storage.search({ size: 1000 })
      const isKnown = hits.some(({ executionId }) => executionId === filter.searchAfter)
      return filter.searchAfter === undefined || isKnown ? storage.search(filter) : { total: 0, hits: [] }
    },
  }),
  'orders the log by ends': ({ storage }) => ({
    async search(filter) {
      const { total, hits } = await storage.search(filter)
      return { total, hits: hits.sort((a, b) => (b.endTime ?? 0) - (a.endTime ?? 0)) }
    },
  }),
  'orders live executions by starts': ({ storage }) => ({
    async live(filter) {
      const { hits, ...next } = await storage.live(filter)
      return { hits: hits.sort((a, b) => a.startTime - b.startTime), ...next }
    },
  }),
  'lists live executions of all types': ({ storage }) => ({
    async live(filter) {
      const others = await storage.live({ type: 'other' })
      const { hits } = await storage.live(filter)
      return { ...(await storage.live(filter)), hits: filter.type === 'other' ? hits : [...others.hits, ...hits] }
    },
  }),
  'lists live executions in one page': ({ storage }) => ({ live: (filter) => storage.live(withoutSize(filter)) }),
  'finds the first execution': ({ storage }) => ({
    async find(...job) {
      const record = await storage.find(...job)
      const [type, id] = job
      const { hits } = await storage.search({ type, id })
      return record && isLive(record.state) && job[2] === undefined ? (hits.at(-1) ?? record) : record
    },
  }),
  'folds the case of ids': ({ storage }) => ({
    begin: ({ id, ...request }) => storage.begin({ ...request, id: id.toLowerCase() }),
  }),
  'trims types': ({ storage }) => ({
    begin: ({ type, ...request }) => storage.begin({ ...request, type: type.trim() }),
  }),
  'drops checkpoints that are falsy': ({ storage }) => ({
    renew: (lease, { checkpoint, ...request }) =>
      storage.renew(lease, { ...request, ...(checkpoint !== undefined && { checkpoint: checkpoint || null }) }),
  }),
  'cuts long details': ({ storage }) => ({
    renew: (lease, { detail, ...request }) =>
      storage.renew(lease, {
        ...request,
        ...(detail && { detail: JSON.stringify(detail).length > 1000 ? {} : detail }),
      }),
  }),
  'rounds counts': ({ storage }) => ({
    finish: (lease, { count, ...request }) =>
      storage.finish(lease, { ...request, ...(count !== undefined && { count: Number(count.toPrecision(15)) }) }),
  }),
  'keeps the checkpoint of its caller': ({ storage }) => {
    const kept = new Map<string, unknown>()
    return {
      renew(lease, request) {
        if (request.checkpoint) kept.set(lease.executionId, request.checkpoint)
        return storage.renew(lease, request)
      },
      async find(...job) {
        const record = await storage.find(...job)
        const checkpoint = record && kept.get(record.executionId)
        return record?.checkpoint && checkpoint ? { ...record, checkpoint } : record
      },
    }
  },
  'emits nothing of the queue': (sound) => watching(sound, (change, emit) => change.state !== 'queued' && emit(change)),
  'emits nothing of aborts': (sound) => watching(sound, (change, emit) => change.state !== 'aborting' && emit(change)),
  'emits nothing of ends': (sound) => watching(sound, (change, emit) => isLive(change.state) && emit(change)),
  'emits nothing of runs': (sound) => watching(sound, (change, emit) => change.state !== 'running' && emit(change)),
  'emits no partitions': (sound) => watching(sound, ({ partition: _, ...change }, emit) => emit(change)),
  'emits nothing of expired leases': (sound) =>
    watching(sound, (change, emit) => change.state !== 'error' && emit(change)),
  'emits progress': ({ storage }) => {
    const listeners = new Set<(change: StorageChange) => void>()
    return {
      async renew(lease, request) {
        const record = await storage.renew(lease, request)
        if (record) for (const listener of listeners) listener(record)
        return record
      },
      watch(listener) {
        listeners.add(listener)
        return storage.watch?.(listener) ?? (() => {})
      },
    }
  },
  'emits after the stop': ({ storage }) => ({
    watch(listener) {
      storage.watch?.(listener)
      return () => {}
    },
  }),
} satisfies Record<string, Bug>
