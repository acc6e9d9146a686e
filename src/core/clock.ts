/** A timer that was set on a {@link Clock}. */
export interface Timer {
  /** Takes the timer back. Does nothing once it has fired. */
  cancel(): void
}

/**
 * Time as a port: everything in headgate that asks for the time or waits asks a clock, so that tests need no sleeps
 * (`headgate/testing` has a clock that is moved by hand).
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

/** The longest that a timer of the machine can wait, in milliseconds: a longer one would fire at once. */
const longestDelay = 2 ** 31 - 1

/** The machine's own clock: the default of every `clock` option. No timer waits longer than 24 days. */
export const systemClock: Clock = {
  now: () => Date.now(),
  setTimer(delay, callback, options) {
    const timer: unknown = setTimeout(callback, Math.min(delay, longestDelay))
    if (options?.background) (timer as { unref?: () => void }).unref?.()
    return { cancel: () => clearTimeout(timer as number) }
  },
}

/** Resolves after `delay` milliseconds of `clock`, or as soon as `signal` aborts. With `background`, see {@link Clock}. */
export function sleep(
  clock: Clock,
  delay: number,
  signal?: AbortSignal,
  options?: { background?: boolean },
): Promise<void> {
  return new Promise((resolve) => {
    const wake = () => {
      timer.cancel()
      signal?.removeEventListener('abort', wake)
      resolve()
    }
    const timer = clock.setTimer(delay, wake, options)
    if (signal?.aborted) wake()
    else signal?.addEventListener('abort', wake)
  })
}

/**
 * Resolves with what `promise` gives, or with `late` when `delay` milliseconds of `clock` have passed first, or `signal` aborts.
 * Nothing of it stays with a promise that settles long after, or never.
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
    const over = () => {
      timer.cancel()
      signal?.removeEventListener('abort', giveUp)
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
    else signal?.addEventListener('abort', giveUp)
  })
}

interface Waiter {
  resolve(value: unknown): void
  reject(error: unknown): void
}

/** Those who wait for a promise. It keeps one reaction for all of them, as it keeps each until it settles. */
const waiters = new WeakMap<Promise<unknown>, Set<Waiter>>()

/** Tells a waiter how a promise settles. Gives what makes it wait no more, which leaves nothing behind. */
function onceSettled(promise: Promise<unknown>, waiter: Waiter): () => void {
  const known = waiters.get(promise)
  const waiting = known ?? new Set()
  waiting.add(waiter)
  if (!known) {
    waiters.set(promise, waiting)
    const tell = (how: (waiter: Waiter) => void) => {
      // Who comes later waits for a reaction of its own.
      waiters.delete(promise)
      for (const each of [...waiting]) how(each)
    }
    promise.then(
      (value) => tell(({ resolve }) => resolve(value)),
      (error) => tell(({ reject }) => reject(error)),
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
