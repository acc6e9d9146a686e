import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { ReadLimiter } from '../../../src/adapters/postgres/storage/read-limiter.js'

const nothing = async () => undefined

/** A read that lasts until `end` is called. */
function longRead() {
  let end = () => {}
  const ended = new Promise<void>((resolve) => {
    end = resolve
  })
  return { read: () => ended, end }
}

describe('reads of a Postgres storage', () => {
  test('leave two connections of the pool free', async () => {
    const limit = new ReadLimiter(5)
    let running = 0
    const { read, end } = longRead()
    const counted = () => {
      running++
      return read()
    }
    const reads = Array.from({ length: 10 }, () => limit.run(counted))
    await vi.waitFor(() => expect(running).toBe(3))
    end()
    await Promise.all(reads)
    expect(running).toBe(10)
  })

  test('run after starts that wait', async () => {
    const limit = new ReadLimiter(3)
    const { read, end } = longRead()
    const order: string[] = []
    const first = limit.run(read)
    const second = limit.run(async () => void order.push('read'))
    const start = limit.run(async () => void order.push('start'), { isStart: true })
    end()
    await Promise.all([first, second, start])
    expect(order).toEqual(['start', 'read'])
  })

  test('fail without being asked when they have waited for too long', async () => {
    const limit = new ReadLimiter(1)
    const { read, end } = longRead()
    const first = limit.run(read)
    const late = vi.fn(nothing)
    const second = limit.run(late)
    const now = performance.now()
    const clock = vi.spyOn(performance, 'now').mockReturnValue(now + 6000)
    onTestFinished(() => clock.mockRestore())
    end()
    await first
    await expect(second).rejects.toMatchObject({
      code: 'storage',
      isTransient: true,
      message: expect.stringMatching(/Too many reads of the storage at once: this one has waited for \d+ ms/),
    })
    expect(late).not.toHaveBeenCalled()
  })

  test('fail at once when 10,000 wait already', async () => {
    const limit = new ReadLimiter(1)
    const { read, end } = longRead()
    const reads = Array.from({ length: 10_001 }, () => limit.run(read))
    await expect(limit.run(nothing)).rejects.toMatchObject({ code: 'storage', isTransient: true })
    end()
    await Promise.all(reads)
  })
})
