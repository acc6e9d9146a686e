import { getEventListeners } from 'node:events'
import { JobRegistry, memoryStorage } from 'headgate'
import { systemClock } from 'headgate/adapter'
import { expect, it, vi } from 'vitest'
import { sleep, withTimeout } from '../../../src/core/base/clock.js'

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

it('puts one listener on a signal, however many wait for it, and takes it off', async () => {
  const stop = new AbortController()
  const listeners = () => getEventListeners(stop.signal, 'abort').length
  const short = sleep(systemClock, 1, stop.signal)
  const sleeping = Array.from({ length: 20 }, () => sleep(systemClock, 1_000_000, stop.signal))
  const waiting = Array.from({ length: 20 }, () =>
    withTimeout(systemClock, 1_000_000, new Promise(() => {}), 1, stop.signal),
  )
  await short
  expect(listeners()).toBe(1)
  stop.abort()
  expect(await Promise.all(waiting)).toEqual(Array(20).fill(1))
  await Promise.all(sleeping)
  expect(listeners()).toBe(0)
})

it('puts no more than one listener on the signal of many aborts', async () => {
  const registry = new JobRegistry({ storage: memoryStorage() })
  const { signal } = new AbortController()
  const most: number[] = []
  for (let id = 0; id < 20; id++) {
    registry.define({
      type: 'test',
      id: `${id}`,
      run: async (context) => {
        await sleep(systemClock, 1_000_000, context.signal)
        await sleep(systemClock, 20)
        most.push(getEventListeners(signal, 'abort').length)
      },
    })
    await registry.start('test', `${id}`)
  }
  await Promise.all(Array.from({ length: 20 }, (_, id) => registry.abort('test', `${id}`, { signal })))
  expect(most).toHaveLength(20)
  expect(Math.max(...most)).toBeLessThanOrEqual(1)
  await registry.close()
})
