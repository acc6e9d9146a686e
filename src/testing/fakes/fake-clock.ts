import { setImmediate } from 'node:timers'
import { checkValue, invalid, type Rule } from '../../adapter.js'
import type { Clock } from '../../index.js'
import { type QueuedTimer, TimerQueue } from './timer-queue.js'

/** A clock that stands still until a test moves it. */
export interface FakeClock extends Clock {
  /**
   * Moves the clock forward by `ms` milliseconds. Every timer that becomes due fires at its time, in order, including timers that
   * others have set. Promises settle before the first timer and after each one. Throws what a timer throws.
   */
  advance(ms: number): Promise<void>
  /** The number of pending timers. */
  readonly pending: number
}

const startRule: Rule = { accepts: Number.isFinite, expected: 'a number of milliseconds' }

/** How many turns of the event loop `advance` waits for promises to settle. A chain of promises may need several. */
const turns = 5

/**
 * Creates a {@link FakeClock} for the option `clock` of a registry or a storage. It does not change the global timers, so drivers work
 * as usual.
 *
 * @param start The initial time, in epoch milliseconds. Default: the beginning of 2020, UTC. Throws `invalid_options` for what is no number.
 */
export function fakeClock(start: number = Date.UTC(2020)): FakeClock {
  checkValue('start', start, startRule)
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
