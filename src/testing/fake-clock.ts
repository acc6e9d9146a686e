import { setImmediate } from 'node:timers'
import { type Clock, invalid } from '../index.js'
import { type QueuedTimer, TimerQueue } from './_timer-queue.js'

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

/** How many turns of the event loop promises have to settle: a chain of steps may take more than one. */
const turns = 5

/**
 * Makes a {@link FakeClock} for the `clock` option of a registry or a storage. It leaves the global timers alone, so that
 * drivers work as ever.
 *
 * @param start The time that it shows first, in epoch milliseconds. Default: the beginning of 2020, UTC.
 */
export function fakeClock(start: number = Date.UTC(2020)): FakeClock {
  const timers = new TimerQueue()
  let time = start

  return {
    now: () => time,
    setTimer(delay, callback) {
      const timer: QueuedTimer = { at: time + Math.max(0, delay), callback }
      timers.add(timer)
      return { cancel: () => timers.cancel(timer) }
    },
    async advance(ms) {
      if (!(ms >= 0)) throw invalid('ms', 'a number of milliseconds from 0 up', ms)
      const end = time + ms
      await settled()
      for (let timer = timers.takeDue(end); timer; timer = timers.takeDue(end)) {
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

async function settled(): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await new Promise<void>((resolve) => setImmediate(resolve))
}
