import { checkRecord, isChange } from './_foreign.js'
import { isolate } from './_isolate.js'
import { errorMessages, JobError } from './errors.js'
import { isLive } from './lifecycle.js'
import type { Logger } from './logger.js'
import type { ExecutionRecord, JobStorage } from './storage.js'

/**
 * The same storage, of which every record and every change is checked: what it holds may come from another version of
 * headgate, or from anybody who can write to its tables. One that is not valid harms no other, and is logged. There may be
 * many, at every read: the logger bounds the rate of warnings.
 */
export function checkedStorage(storage: JobStorage, logger: Logger): JobStorage {
  const warn = (value: unknown, fields: readonly string[]) =>
    logger.warn(
      { ...names(value), fields },
      'The storage holds an execution that is not valid. What is not valid of it is not shown.',
    )
  const checked = (value: ExecutionRecord | undefined): ExecutionRecord | undefined => {
    if (value === undefined || value === null) return undefined
    const { record, wrong } = checkRecord(value)
    if (wrong.length > 0) warn(value, wrong)
    return record
  }
  const all = (values: readonly ExecutionRecord[]) => values.flatMap((value) => checked(value) ?? [])
  const { isWritable, watch, close } = storage
  return {
    async begin(request) {
      const { started, execution } = await storage.begin(request)
      const record = checked(execution)
      if (!record) throw new JobError('storage', 'The storage gave an execution that is not valid.')
      return { started, execution: record }
    },
    save: async (lease, request) => checked(await storage.save(lease, request)),
    finish: async (lease, request) => checked(await storage.finish(lease, request)),
    requestAbort: async (type, id) => checked(await storage.requestAbort(type, id)),
    find: async (type, id) => checked(await storage.find(type, id)),
    live: async (type) => all(await storage.live(type)).filter(({ state }) => isLive(state)),
    orphans: async () => all(await storage.orphans()),
    async search(filter) {
      const { total, hits } = await storage.search(filter)
      return { total, hits: all(hits) }
    },
    ...(isWritable && { isWritable: async () => storage.isWritable?.() ?? true }),
    ...(watch && {
      watch: (listener) => {
        const hear = (change: unknown) => (isChange(change) ? listener(change) : undefined)
        const failed = (error: unknown) =>
          logger.warn({ error: errorMessages(error) }, 'A change in storage could not be followed.')
        return watch.call(storage, (change) => isolate(() => hear(change), failed))
      },
    }),
    ...(close && { close: async () => close.call(storage) }),
  }
}

/** The names of an execution, as far as they are texts. */
function names(value: unknown): Record<string, string> {
  const { type, id, executionId } = Object(value) as Record<string, unknown>
  const texts = Object.entries({ type, id, executionId }).filter(
    (entry): entry is [string, string] => typeof entry[1] === 'string',
  )
  return Object.fromEntries(texts.map(([name, text]) => [name, text.slice(0, 600)]))
}
