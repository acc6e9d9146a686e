import type { Clock } from './clock.js'
import type { Logger } from './logger.js'

/** How many warnings of one kind are logged at once; one more per `interval` milliseconds after that. */
const bounds = { burst: 20, interval: 10_000 }

/** The most kinds that are told apart: what goes beyond shares one. */
const maxKinds = 1000

/** The warnings of one kind that came lately. */
interface Flood {
  logged: number
  suppressed: number
  /** Whether one came since the last look. */
  isFresh: boolean
  /** Logs the last one that was suppressed, with how many there were. */
  tell(): void
}

/**
 * The same logger, whose warnings and errors come at a bounded rate: whatever fails may fail in a loop, for thousands of
 * jobs. Messages that differ in `[names]` alone are of one kind. The last of those that were suppressed is logged after
 * `interval` milliseconds, with their number in `suppressed`.
 */
export function boundedLogger(logger: Logger, clock: Clock): Logger {
  return {
    debug: (details, message) => logger.debug(details, message),
    info: (details, message) => logger.info(details, message),
    warn: bounded((details, message) => logger.warn(details, message), clock),
    error: bounded((details, message) => logger.error(details, message), clock),
  }
}

function bounded(log: Logger['warn'], clock: Clock): Logger['warn'] {
  const floods = new Map<string, Flood>()
  const watch = (kind: string, flood: Flood) => {
    const look = () => {
      if (!flood.isFresh) return floods.delete(kind)
      if (flood.suppressed > 0) flood.tell()
      flood.suppressed = 0
      flood.isFresh = false
      return watch(kind, flood)
    }
    clock.setTimer(bounds.interval, look, { background: true })
  }
  return (details, message) => {
    const kind = kindOf(message, floods)
    const flood = floods.get(kind) ?? { logged: 0, suppressed: 0, isFresh: true, tell: () => {} }
    flood.isFresh = true
    if (flood.logged < bounds.burst) {
      flood.logged++
      log(details, message)
    } else {
      const suppressed = ++flood.suppressed
      flood.tell = () => log({ ...details, suppressed }, message)
    }
    if (floods.get(kind) === flood) return
    floods.set(kind, flood)
    watch(kind, flood)
  }
}

function kindOf(message: string, known: ReadonlyMap<string, unknown>): string {
  // The names of jobs come from outside, and may be long.
  const kind = message.slice(0, 300).replace(/\[[^[\]]*\]/g, '[]')
  return known.has(kind) || known.size < maxKinds ? kind : ''
}
