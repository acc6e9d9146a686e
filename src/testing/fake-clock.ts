import { setImmediate } from 'node:timers'
import { type Clock, invalid } from '../index.js'

/** A clock that stands still until it is moved by hand. */
export interface FakeClock extends Clock {
  /**
   * Moves the time on by `ms` milliseconds. On the way every timer that falls due fires at its own time, in order, also
   * one that was set on the way; promises settle before the first timer and after each one. Throws what a timer throws.
   */
  advance(ms: number): Promise<void>
  /** How many timers wait to fire. */
  readonly pending: number
}

interface FakeTimer {
  readonly at: number
  readonly callback: () => void
}

/** How many turns of the event loop promises have to settle: a chain of steps may take more than one. */
const turns = 5

/**
 * Makes a {@link FakeClock} for the `clock` option of a registry or a storage. It leaves the global timers alone, so that
 * drivers work as ever.
 *
 * @param start The time that it shows first, in epoch milliseconds. Default: the beginning of 2020, UTC.
 */
export function fakeClock(start: number = Date.UTC(2020)): FakeClock {
  const timers = new Set<FakeTimer>()
  let time = start

  return {
    now: () => time,
    setTimer(delay, callback) {
      const timer = { at: time + Math.max(0, delay), callback }
      timers.add(timer)
      return { cancel: () => timers.delete(timer) }
    },
    async advance(ms) {
      if (!(ms >= 0)) throw invalid('ms', 'a number of milliseconds from 0 up', ms)
      const end = time + ms
      await settled()
      for (let timer = nextDue(timers, end); timer; timer = nextDue(timers, end)) {
        timers.delete(timer)
        time = Math.max(time, timer.at)
        timer.callback()
        await settled()
      }
      time = Math.max(time, end)
    },
    get pending() {
      return timers.size
    },
  }
}

/** The timer that fires first of those due by `end`: of two at one time, the one that was set first. */
function nextDue(timers: Iterable<FakeTimer>, end: number): FakeTimer | undefined {
  let next: FakeTimer | undefined
  for (const timer of timers) {
    if (timer.at <= end && (!next || timer.at < next.at)) next = timer
  }
  return next
}

async function settled(): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await new Promise<void>((resolve) => setImmediate(resolve))
}
