import { fakeClock } from 'headgate/testing'
import { describe, expect, test } from 'vitest'

describe('fakeClock', () => {
  test('stands still until it is moved', async () => {
    const clock = fakeClock(1000)
    expect(clock.now()).toBe(1000)
    await clock.advance(5)
    expect(clock.now()).toBe(1005)
  })

  test('fires timers in the order of their times, at their times', async () => {
    const clock = fakeClock(0)
    const fired: [string, number][] = []
    clock.setTimer(30, () => fired.push(['late', clock.now()]))
    clock.setTimer(10, () => fired.push(['early', clock.now()]))
    clock.setTimer(10, () => fired.push(['early, set second', clock.now()]))
    await clock.advance(29)
    expect(fired).toEqual([
      ['early', 10],
      ['early, set second', 10],
    ])
    await clock.advance(1)
    expect(fired.at(-1)).toEqual(['late', 30])
    expect(clock.pending).toBe(0)
  })

  test('fires timers that are set on the way, also after promises', async () => {
    const clock = fakeClock(0)
    const ticks: number[] = []
    const tick = async () => {
      ticks.push(clock.now())
      await Promise.resolve()
      clock.setTimer(10, () => void tick())
    }
    await tick()
    await clock.advance(35)
    expect(ticks).toEqual([0, 10, 20, 30])
    expect(clock.pending).toBe(1)
  })

  test('lets promises settle before the first timer and after the last', async () => {
    const clock = fakeClock(0)
    const seen: string[] = []
    const work = async (name: string) => {
      for (let step = 0; step < 50; step++) await Promise.resolve()
      seen.push(name)
    }
    void work('before')
    clock.setTimer(1, () => {
      seen.push('timer')
      void work('after')
    })
    await clock.advance(1)
    expect(seen).toEqual(['before', 'timer', 'after'])
  })

  test('forgets a timer that was cancelled', async () => {
    const clock = fakeClock()
    const timer = clock.setTimer(1, () => expect.unreachable())
    expect(clock.pending).toBe(1)
    timer.cancel()
    timer.cancel()
    expect(clock.pending).toBe(0)
    await clock.advance(1)
  })

  test('throws what a timer throws, and goes on from there', async () => {
    const clock = fakeClock(0)
    clock.setTimer(1, () => {
      throw new RangeError('from the timer')
    })
    await expect(clock.advance(2)).rejects.toThrow('from the timer')
    await clock.advance(2)
    expect(clock.now()).toBe(3)
  })

  test('does not go back', async () => {
    await expect(fakeClock().advance(-1)).rejects.toThrow('Expected `ms` to be a number of milliseconds from 0 up')
  })
})

test('many timers fire by their time, those of one time as they were set, and those that were taken back do not', async () => {
  const clock = fakeClock(0)
  const fired: { at: number; n: number }[] = []
  const timers = Array.from({ length: 200 }, (_, n) => {
    const at = (n * 37) % 50
    return { at, n, timer: clock.setTimer(at, () => fired.push({ at, n })) }
  })
  const isOff = ({ n }: { n: number }) => n % 3 === 0
  for (const { timer } of timers.filter(isOff)) timer.cancel()
  const left = timers.filter((each) => !isOff(each)).map(({ at, n }) => ({ at, n }))
  expect(clock.pending).toBe(left.length)
  await clock.advance(50)
  expect(fired).toEqual(left.sort((a, b) => a.at - b.at || a.n - b.n))
  expect(clock.pending).toBe(0)
})
