import {
  adapterFailure,
  badAnswer,
  type Clock,
  checkedAnswer,
  EventLoopTurns,
  errorMessages,
  executionOrder,
  isolate,
  JobError,
  type Logger,
  mapInTurns,
  rule,
  type TimedCall,
  timedCalls,
} from '../base/index.js'
import { type ExecutionRecord, isLive } from '../model/index.js'
import { type Answered, type Asked, checkedManagement, type RecordCheck } from './checked-management.js'
import { changeIn, checkRecord } from './foreign-records.js'
import type { BeginResult, ExecutionPage, JobStorage, LeaseToken, PageRequest, SearchResult } from './job-storage.js'
import { pageSize, searchSize } from './pages.js'

type Watch = NonNullable<JobStorage['watch']>

/** How to call a storage. */
interface CallOptions {
  readonly clock: Clock
  /** Bounds the rate of warnings, as every read may find many invalid records. */
  readonly logger: Logger
  /** How long a call may take, in milliseconds. */
  readonly timeout: number
}

/**
 * Limits every call of a storage in time, and validates every record and every change: another version of headgate, or anyone with
 * access to its tables, may have written them. An answer about another job than the one that was asked for is an error. An invalid or
 * foreign record in a list does not affect others, and is logged.
 */
export function checkedStorage(storage: JobStorage, { clock, logger, timeout }: CallOptions): JobStorage {
  const inTime = timelyCalls(clock, timeout)
  const checked = recordCheck(logger)
  const answered: Answered = (method, ask, check) => inTime(ask, method, (answer) => checkedBy(method, check, answer))
  const one = (method: string, ask: () => Promise<unknown>, asked: Asked) =>
    answered(method, ask, (value) => {
      if (value === undefined || value === null) return undefined
      const record = checked(value, asked)
      if (record) return record
      throw notAsked(`${method}() of the storage`, 'an execution or nothing, as asked for', value, asked)
    })
  const all = (values: readonly unknown[], asked: Asked) => validOf(values, (value) => checked(value, asked))
  const page = (method: string, ask: () => Promise<unknown>, request: PageRequest = {}, asked: Asked = {}) =>
    answered(method, ask, async (answer): Promise<ExecutionPage> => {
      const { searchAfter, size = pageSize } = request
      const { hits, next } = Object(answer ?? {}) as Partial<ExecutionPage>
      // A page that does not lead further would be read for ever.
      if (areHits(hits, size) && (next === undefined || isAfter(next, searchAfter)))
        return { hits: await all(hits, asked), ...(next !== undefined && { next }) }
      const expected = `\`hits\`, an array of up to ${size}, and a later \`next\``
      throw badAnswer('storage', `${method}() of the storage`, expected, answer)
    })
  const { isWritable, watch, close } = storage
  return {
    begin: (request) => {
      const check = (answer: unknown): BeginResult => {
        const { started, execution } = Object(answer ?? {}) as Partial<BeginResult>
        const record = checked(execution, jobOf(request))
        if (record && typeof started === 'boolean') return { started, execution: record }
        const expected = '`started` and a valid `execution` of the job'
        if (typeof started !== 'boolean') throw badAnswer('storage', 'begin() of the storage', expected, answer)
        throw notAsked('begin() of the storage', expected, execution, jobOf(request))
      }
      return answered('begin', () => storage.begin(request), check)
    },
    renew: (lease, request) => one('renew', () => storage.renew(lease, request), executionOf(lease)),
    claim: (waiting, request) => one('claim', () => storage.claim(waiting, request), executionOf(waiting)),
    run: (lease) => one('run', () => storage.run(lease), executionOf(lease)),
    finish: (lease, request) => one('finish', () => storage.finish(lease, request), executionOf(lease)),
    requestAbort: (request) => one('requestAbort', () => storage.requestAbort(request), jobOf(request)),
    find: (type, id, partition) => one('find', () => storage.find(type, id, partition), jobOf({ type, id, partition })),
    async live(filter) {
      const { hits, ...rest } = await page('live', () => storage.live(filter), filter, filtered(filter))
      return { hits: hits.filter(({ state }) => isLive(state)), ...rest }
    },
    orphans: (request) => page('orphans', () => storage.orphans(request), request),
    search: (filter) => {
      const check = async (answer: unknown): Promise<SearchResult<ExecutionRecord>> => {
        const { total, hits } = checkedSearch(answer, filter.size)
        return { total, hits: await all(hits, filtered(filter)) }
      }
      return answered('search', () => storage.search(filter), check)
    },
    ...checkedManagement(storage, answered, checked),
    ...(isWritable && { isWritable: () => answered('isWritable', () => isWritable.call(storage), checkedFlag) }),
    ...(watch && { watch: checkedWatch(watch.bind(storage), logger) }),
    ...(close && { close: async () => close.call(storage) }),
  }
}

/** The valid records of a list. */
async function validOf(
  values: readonly unknown[],
  checked: (value: unknown) => ExecutionRecord | undefined,
): Promise<ExecutionRecord[]> {
  return (await mapInTurns(values, checked)).filter((record) => record !== undefined)
}

function checkedFlag(answer: unknown): boolean {
  return checkedAnswer('storage', 'isWritable() of the storage', rule.flag, answer)
}

function checkedSearch(answer: unknown, size = searchSize): SearchResult<unknown> {
  const { total, hits } = Object(answer ?? {}) as Partial<SearchResult<unknown>>
  if (rule.whole(0).accepts(total) && areHits(hits, size)) return { total: total as number, hits }
  const expected = `the number \`total\` and \`hits\`, an array of up to ${size}`
  throw badAnswer('storage', 'search() of the storage', expected, answer)
}

/** Whether hits are an array that is no longer than the page that was asked for. */
function areHits(hits: unknown, size: number): hits is unknown[] {
  return Array.isArray(hits) && hits.length <= size
}

/** Checks what the storage gives for an execution. `undefined` when that is none, or was not asked for. */
function recordCheck(logger: Logger): RecordCheck {
  return (value, asked) => {
    const { record, wrong } = checkRecord(value)
    const foreign = record ? differences(record, asked) : []
    const fields = [...wrong, ...foreign]
    if (fields.length > 0) {
      const message = 'The storage holds an invalid execution. Its invalid fields are not shown.'
      logger.warn({ ...names(value), fields }, message)
    }
    return foreign.length === 0 ? record : undefined
  }
}

/** Renew the lease of a job, or grant one. */
const urgentMethods: ReadonlySet<string | undefined> = new Set(['renew', 'claim', 'run'])

/**
 * Limits calls in time. Storages that answer synchronously, as in memory and in a file, yield to the event loop between calls, the urgent
 * ones first.
 */
function timelyCalls(clock: Clock, timeout: number): TimedCall {
  const inTime = timedCalls('storage', clock, timeout)
  const turns = new EventLoopTurns()
  return (ask, method, read) =>
    turns.pass(urgentMethods.has(method))?.then(() => inTime(ask, undefined, read)) ?? inTime(ask, undefined, read)
}

/** Checks an answer, of which a getter may throw. */
function checkedBy<Answer>(
  method: string,
  check: (answer: unknown) => Answer | Promise<Answer>,
  answer: unknown,
): Answer | Promise<Answer> {
  const fail = (cause: unknown): never => {
    if (cause instanceof JobError) throw cause
    throw new JobError('storage', `Could not read the answer of ${method}() of the storage.`, { cause })
  }
  try {
    const checked = check(answer)
    return checked instanceof Promise ? checked.catch(fail) : checked
  } catch (cause) {
    return fail(cause)
  }
}

function jobOf({ type, id, partition }: Asked): Asked {
  return { type, id, partition }
}

function executionOf({ executionId }: LeaseToken): Asked {
  return { executionId }
}

/** The fields that a filter fixes. */
function filtered({ type, id, partition }: Asked): Asked {
  return {
    ...(type !== undefined && { type }),
    ...(id !== undefined && { id }),
    ...(partition !== undefined && { partition }),
  }
}

/** The fields in which a record is not what was asked for. */
function differences(record: ExecutionRecord, asked: Asked): string[] {
  const fields = Object.keys(asked) as (keyof Asked)[]
  return fields.filter((field) => record[field] !== asked[field])
}

/** The error for an execution that was not asked for. Another program may have changed its row, so the adapter need not be the reason. */
function notAsked(method: string, expected: string, value: unknown, asked: Asked): JobError {
  const { record, wrong } = checkRecord(value)
  const fields = record ? differences(record, asked) : wrong
  const isRow = typeof Object(value).executionId === 'string'
  if (!isRow || fields.length === 0) return badAnswer('storage', method, expected, value)
  const shown = fields.map((field) => `\`${field}\``).join(' or ')
  const got = `got one with another or an invalid ${shown}`
  const reason = 'Another program may have changed its row, or the storage has a fault.'
  return new JobError('storage', `Expected ${method} to return ${expected}, ${got}. ${reason}`)
}

/** What `watch` returns at once. */
function started(watch: () => unknown): unknown {
  try {
    return watch()
  } catch (error) {
    throw adapterFailure('storage', error, 'watch')
  }
}

function checkedWatch(watch: Watch, logger: Logger): Watch {
  const failed = (error: unknown) =>
    logger.warn({ error: errorMessages(error) }, 'Could not handle a change in storage.')
  return (listener) => {
    const handle = (given: unknown) => {
      const change = changeIn(given)
      if (change) listener(change)
    }
    const stop: unknown = started(() => watch((change) => isolate(() => handle(change), failed)))
    if (typeof stop === 'function') return () => isolate(() => stop(), failed)
    throw badAnswer('storage', 'watch() of the storage', 'the function that stops it', stop)
  }
}

/** Whether an execution id comes after another in the log. */
function isAfter(next: unknown, before: string | undefined): boolean {
  const order = typeof next === 'string' ? executionOrder(next) : undefined
  return order !== undefined && (before === undefined || order > (executionOrder(before) ?? ''))
}

/** The identifying fields of an execution that are text, for logs. */
function names(value: unknown): Record<string, string> {
  const { type, id, executionId } = Object(value) as Record<string, unknown>
  const texts = Object.entries({ type, id, executionId }).filter(
    (entry): entry is [string, string] => typeof entry[1] === 'string',
  )
  return Object.fromEntries(texts.map(([name, text]) => [name, text.slice(0, 600)]))
}
