import { describe, expect, test } from 'vitest'
import { Prefetch } from '../../src/sql/prefetch.js'

describe('a lookahead', () => {
  /** Numbers up to 9, each as large as it says, and how many were asked for. */
  const numbers = (failsAt = 10) => {
    const seen = { read: 0 }
    async function* read(): AsyncGenerator<number, void> {
      while (seen.read < 9) {
        if (++seen.read === failsAt) throw new RangeError('enough')
        yield seen.read
      }
    }
    return { seen, items: read() }
  }
  const sizeOf = (item: number) => item
  const untilIdle = () => new Promise((resolve) => setImmediate(resolve))

  test('reads until its room is full, and goes on when something is taken', async () => {
    const { seen, items } = numbers()
    const lookahead = new Prefetch(items, 5, sizeOf)
    await untilIdle()
    expect(seen.read).toBe(3)
    expect(await lookahead.next()).toEqual({ done: false, value: 1 })
    await untilIdle()
    expect(seen.read).toBe(3)
    expect(await lookahead.next()).toEqual({ done: false, value: 2 })
    await untilIdle()
    expect(seen.read).toBe(4)
  })

  test('without room, reads one ahead', async () => {
    const { seen, items } = numbers()
    const lookahead = new Prefetch(items, 0, sizeOf)
    await untilIdle()
    expect(seen.read).toBe(1)
    await lookahead.next()
    await untilIdle()
    expect(seen.read).toBe(1)
  })

  test('gives all in order, and then its end', async () => {
    const lookahead = new Prefetch(numbers().items, 1000, sizeOf)
    for (let item = 1; item <= 9; item++) expect(await lookahead.next()).toEqual({ done: false, value: item })
    expect(await lookahead.next()).toEqual({ done: true, value: undefined })
  })

  test('tells at once that it has failed, and gives what came before', async () => {
    const lookahead = new Prefetch(numbers(3).items, 1000, sizeOf)
    await untilIdle()
    expect(lookahead.hasFailed).toBe(true)
    expect(await lookahead.next()).toEqual({ done: false, value: 1 })
    expect(await lookahead.next()).toEqual({ done: false, value: 2 })
    await expect(lookahead.next()).rejects.toThrow('enough')
  })

  test('that is stopped reads no further', async () => {
    const { seen, items } = numbers()
    const lookahead = new Prefetch(items, 1000, sizeOf)
    lookahead.stop()
    await untilIdle()
    expect(seen.read).toBe(1)
  })
})
