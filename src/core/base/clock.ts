import { onAbort } from './abort.js'

/** A timer of a {@link Clock}. */
export interface Timer {
  /** Cancels the timer. Has no effect once it has fired. */
  cancel(): void
}

/**
 * A source of time. All of headgate uses a clock for the time and for timers, so that tests need no sleeps: `headgate/testing` has a
 * clock that tests control.
 */
export interface Clock {
  /** The time now, in epoch milliseconds. */
  now(): number
  /**
   * Calls `callback` once, `delay` milliseconds from now. With `background`, the timer alone does not keep the process
   * alive.
   */
  setTimer(delay: number, callback: () => void, options?: { background?: boolean }): Timer
}

/** Maximum delay of a system timer, in milliseconds. A longer one would fire at once. */
const longestDelay = 2 ** 31 - 1

/** The system clock: the default of every `clock` option. Timers wait at most 24 days. */
export const systemClock: Clock = {
  now: () => Date.now(),
  setTimer(delay, callback, options) {
    const timer: unknown = setTimeout(callback, Math.min(delay, longestDelay))
    if (options?.background) (timer as { unref?: () => void }).unref?.()
    return { cancel: () => clearTimeout(timer as number) }
  },
}

/** Calls `callback` after any delay, also one that is longer than a timer can wait. Returns a function that cancels it. */
export function setLongTimer(clock: Clock, delay: number, callback: () => void): () => void {
  const end = clock.now() + delay
  const wait = (): Timer => clock.setTimer(Math.min(end - clock.now(), longestDelay), fire, { background: true })
  const fire = () => {
    if (clock.now() < end) timer = wait()
    else callback()
  }
  let timer = wait()
  return () => timer.cancel()
}

/** Resolves after `delay` milliseconds of `clock`, or as soon as `signal` aborts. With `background`, see {@link Clock}. */
export function sleep(
  clock: Clock,
  delay: number,
  signal?: AbortSignal,
  options?: { background?: boolean },
): Promise<void> {
  return new Promise((resolve) => {
    let stopListening = () => {}
    const wake = () => {
      timer.cancel()
      stopListening()
      resolve()
    }
    const timer = clock.setTimer(delay, wake, options)
    if (signal?.aborted) wake()
    else if (signal) stopListening = onAbort(signal, wake)
  })
}

/**
 * Resolves with the value of `promise`, or with `late` when `delay` milliseconds of `clock` have passed first, or `signal` aborts.
 * Leaves no reference on a promise that settles long after, or never.
 */
export function withTimeout<T>(
  clock: Clock,
  delay: number,
  promise: Promise<T>,
  late?: undefined,
  signal?: AbortSignal,
): Promise<T | undefined>
export function withTimeout<T>(
  clock: Clock,
  delay: number,
  promise: Promise<T>,
  late: T,
  signal?: AbortSignal,
): Promise<T>
export function withTimeout<T>(
  clock: Clock,
  delay: number,
  promise: Promise<T>,
  late?: T,
  signal?: AbortSignal,
): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    let stopListening = () => {}
    const over = () => {
      timer.cancel()
      stopListening()
      leave()
    }
    const giveUp = () => {
      over()
      resolve(late)
    }
    const settle = (outcome: () => void) => {
      over()
      outcome()
    }
    const timer = clock.setTimer(delay, giveUp)
    const leave = onceSettled(promise, {
      resolve: (value) => settle(() => resolve(value as T)),
      reject: (error) => settle(() => reject(error)),
    })
    if (signal?.aborted) giveUp()
    else if (signal) stopListening = onAbort(signal, giveUp)
  })
}

interface Waiter {
  resolve(value: unknown): void
  reject(error: unknown): void
}

/** The waiters of each promise. They share one reaction, as a promise keeps every reaction until it settles. */
const waiters = new WeakMap<Promise<unknown>, Set<Waiter>>()

/** Calls a waiter when a promise settles. Returns a function that removes the waiter without a trace. */
function onceSettled(promise: Promise<unknown>, waiter: Waiter): () => void {
  const known = waiters.get(promise)
  const waiting = known ?? new Set()
  waiting.add(waiter)
  if (!known) {
    waiters.set(promise, waiting)
    const settleAll = (how: (waiter: Waiter) => void) => {
      // A later waiter needs a reaction of its own.
      waiters.delete(promise)
      for (const each of [...waiting]) how(each)
    }
    promise.then(
      (value) => settleAll(({ resolve }) => resolve(value)),
      (error) => settleAll(({ reject }) => reject(error)),
    )
  }
  return () => waiting.delete(waiter)
}

/** Whether `work` succeeds before `delay` milliseconds of `clock` have passed. */
export function succeedsWithin(clock: Clock, delay: number, work: Promise<unknown>): Promise<boolean> {
  const succeeded = work.then(
    () => true,
    () => false,
  )
  return withTimeout(clock, delay, succeeded, false)
}
