import type { Clock } from './clock.js'
import type { Logger } from './logger.js'

/** How many warnings of one kind are logged at once. After that, one more per `interval` milliseconds. */
const bounds = { burst: 20, interval: 10_000 }

/** Maximum number of kinds. Further ones share one. */
const maxKinds = 1000

/** The recent warnings of one kind. */
interface Flood {
  logged: number
  suppressed: number
  /** Whether there was one since the last check. */
  isFresh: boolean
  /** Logs the last suppressed one, with the number of suppressed ones. */
  logLast(): void
}

/**
 * Bounds the rate of warnings and errors, as anything may fail in a loop, for thousands of jobs. Messages that differ only in
 * `[names]` are of one kind. The last suppressed entry is logged after `interval` milliseconds, with their number in `suppressed`.
 */
export function boundedLogger(logger: Logger, clock: Clock): Logger {
  return {
    debug: (details, message) => logger.debug(details, message),
    info: (details, message) => logger.info(details, message),
    warn: bounded((details, message) => logger.warn(details, message), clock),
    error: bounded((details, message) => logger.error(details, message), clock),
  }
}

/** Bounds the rate of one method of a logger. */
export function bounded(log: Logger['warn'], clock: Clock): Logger['warn'] {
  const floods = new Map<string, Flood>()
  const watch = (kind: string, flood: Flood) => {
    const check = () => {
      if (!flood.isFresh) return floods.delete(kind)
      if (flood.suppressed > 0) flood.logLast()
      flood.suppressed = 0
      flood.isFresh = false
      return watch(kind, flood)
    }
    clock.setTimer(bounds.interval, check, { background: true })
  }
  return (details, message) => {
    const kind = kindOf(message, floods)
    const flood = floods.get(kind) ?? { logged: 0, suppressed: 0, isFresh: true, logLast: () => {} }
    flood.isFresh = true
    if (flood.logged < bounds.burst) {
      flood.logged++
      log(details, message)
    } else {
      const suppressed = ++flood.suppressed
      flood.logLast = () => log({ ...details, suppressed }, message)
    }
    if (floods.get(kind) === flood) return
    floods.set(kind, flood)
    watch(kind, flood)
  }
}

function kindOf(message: string, known: ReadonlyMap<string, unknown>): string {
  // Names of jobs come from outside, and may be long.
  const kind = (typeof message === 'string' ? message : '').slice(0, 300).replace(/\[[^[\]]*\]/g, '[]')
  return known.has(kind) || known.size < maxKinds ? kind : ''
}
