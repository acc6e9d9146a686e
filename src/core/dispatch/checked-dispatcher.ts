import {
  adapterFailure,
  answerOf,
  badAnswer,
  type Clock,
  checkedAnswer,
  checkValue,
  errorMessages,
  isolate,
  type Logger,
  rule,
  timedCalls,
} from '../base/index.js'
import { type ConcurrencySlot, type Dispatcher, queuedIn, type WaitingPage } from './dispatcher.js'

/** The maximum time of a date, in epoch milliseconds. */
const lastTime = 8.64e15

const lastSeenRule = rule.optional(rule.whole(0, lastTime))
const slotRule = rule.optional(rule.having('release'))

/** How to call a dispatcher. */
interface CallOptions {
  readonly clock: Clock
  readonly logger: Logger
  /** How long a call may take, in milliseconds. */
  readonly timeout: number
}

/**
 * Limits every call of a dispatcher in time, as a queue on a network may stop answering, and validates the answers: one that breaks the
 * contract fails its call with the code `dispatcher`. The registry bounds `close` itself, with what else it closes.
 */
export function checkedDispatcher(dispatcher: Dispatcher, { clock, logger, timeout }: CallOptions): Dispatcher {
  const { isShared, schedules, tryAcquire, check: checkUsable, close } = dispatcher
  const inTime = timedCalls('dispatcher', clock, timeout)
  const check = <Answer>(method: string, expected: typeof slotRule, answer: unknown) =>
    checkedAnswer<Answer>('dispatcher', `${method}() of the dispatcher`, expected, answer)
  const atOnce = <Answer>(method: string, expected: typeof slotRule, ask: () => unknown): Answer => {
    try {
      return check(method, expected, ask())
    } catch (error) {
      throw adapterFailure('dispatcher', error, method)
    }
  }
  const flag = (method: string, ask: () => Promise<boolean>) =>
    inTime(ask, method, (answer) => check<boolean>(method, rule.flag, answer))
  const warning = (message: string) => (error: unknown) => logger.warn({ error: errorMessages(error) }, message)
  const notReleased = warning('The dispatcher could not release a slot.')
  const notHandled = warning('Could not handle a newer schedule of another registry.')
  return {
    isShared,
    get problem() {
      const problem = answerOf(() => dispatcher.problem, undefined)
      return typeof problem === 'string' ? problem : undefined
    },
    ...(schedules && {
      schedules: {
        set(job, schedule, onRival) {
          const handle = (lastSeen?: number) => {
            checkValue('lastSeen', lastSeen, lastSeenRule)
            onRival(lastSeen)
          }
          atOnce('schedules.set', rule.nothingLater, () =>
            schedules.set(job, schedule, (lastSeen) => isolate(() => handle(lastSeen), notHandled)),
          )
        },
        remove: (job) => atOnce('schedules.remove', rule.nothingLater, () => schedules.remove(job)),
      },
    }),
    work: (worker) => atOnce('work', rule.nothingLater, () => dispatcher.work(worker)),
    add: (waiting, options) => inTime(() => dispatcher.add(waiting, options), 'add', nothing),
    remove: (executionId) => flag('remove', () => dispatcher.remove(executionId)),
    move: (executionId, priority) => flag('move', () => dispatcher.move(executionId, priority)),
    waiting: (page) =>
      inTime(
        () => dispatcher.waiting(page),
        'waiting',
        (answer) => checkedPage(answer, page.size),
      ),
    ...(tryAcquire && {
      tryAcquire(datasource) {
        const acquire = () => tryAcquire.call(dispatcher, datasource)
        const slot = atOnce<ConcurrencySlot | undefined>('tryAcquire', slotRule, acquire)
        return slot && { release: () => isolate(() => slot.release(), notReleased) }
      },
    }),
    ...(checkUsable && {
      check: (signal) => inTime(async () => checkUsable.call(dispatcher, signal), 'check', nothing),
    }),
    ...(close && { close: async () => close.call(dispatcher) }),
  }
}

/** Reads an answer that says no more than that the call succeeded. */
const nothing = (): void => undefined

function checkedPage(answer: unknown, size: number): WaitingPage {
  const { total, hits } = Object(answer ?? {}) as Partial<WaitingPage>
  if (typeof total === 'number' && rule.whole(0).accepts(total) && Array.isArray(hits) && hits.length <= size) {
    const queued = Array.from(hits, queuedIn).filter((hit) => hit !== undefined)
    if (queued.length === hits.length) return { total, hits: queued }
  }
  const expected = `the number \`total\` and \`hits\`, an array of up to ${size} queued executions`
  throw badAnswer('dispatcher', 'waiting() of the dispatcher', expected, answer)
}
