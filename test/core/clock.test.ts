import { systemClock } from 'headgate'
import { expect, it, vi } from 'vitest'
import { sleep, withTimeout } from '../../src/core/clock.js'

it('never asks a timer for more than it can wait, as that would fire at once', () => {
  const setTimeout = vi.spyOn(globalThis, 'setTimeout')
  systemClock.setTimer(2 ** 40, () => {}).cancel()
  expect(setTimeout).toHaveBeenCalledWith(expect.any(Function), 2 ** 31 - 1)
})

it('sleeps no longer than its signal lets it', async () => {
  await sleep(systemClock, 1_000_000, AbortSignal.abort())
  const stop = new AbortController()
  const sleeping = sleep(systemClock, 1_000_000, stop.signal)
  stop.abort()
  await sleeping
})

it('gives what comes before the time is up, and nothing after', async () => {
  expect(await withTimeout(systemClock, 1_000_000, Promise.resolve('answer'))).toBe('answer')
  expect(await withTimeout(systemClock, 0, new Promise(() => {}))).toBeUndefined()
  await expect(withTimeout(systemClock, 1_000_000, Promise.reject(new RangeError('no')))).rejects.toThrow(RangeError)
})
