import { expect, test } from 'vitest'
import { NotificationQueue } from '../../../src/adapters/postgres/storage/notification-queue.js'

const nextTurn = () => new Promise<void>((resolve) => setImmediate(resolve))

test('a burst of notifications blocks no turn, and what does not fit is left to a poll', async () => {
  const handled: string[] = []
  let polls = 0
  const work = () => {
    const until = performance.now() + 0.1
    while (performance.now() < until);
  }
  const queue = new NotificationQueue(
    (payload) => {
      work()
      handled.push(payload)
    },
    () => polls++,
  )
  const began = performance.now()
  for (let n = 0; n < 100_000; n++) queue.add(String(n))
  // The burst itself takes no longer than one turn may.
  expect(handled.length).toBeLessThan(500)
  expect(performance.now() - began).toBeLessThan(1000)
  while (polls === 0) await nextTurn()
  expect(handled).toEqual(Array.from({ length: handled.length }, (_, n) => String(n)))
  expect(handled.length).toBeLessThanOrEqual(2000)
  expect(polls).toBe(1)
})

test('one notification is handled at once', () => {
  const handled: string[] = []
  const queue = new NotificationQueue(
    (payload) => handled.push(payload),
    () => handled.push('poll'),
  )
  queue.add('a')
  expect(handled).toEqual(['a'])
})

test('a notification that comes after a burst is handled', async () => {
  const handled: string[] = []
  let isPolled = false
  const queue = new NotificationQueue(
    (payload) => handled.push(payload),
    () => {
      isPolled = true
    },
  )
  queue.add('first')
  for (let n = 0; n < 5000; n++) queue.add('burst')
  await nextTurn()
  queue.add('last')
  await nextTurn()
  expect(handled.at(-1)).toBe('last')
  expect(isPolled || handled.length === 5002).toBe(true)
})
