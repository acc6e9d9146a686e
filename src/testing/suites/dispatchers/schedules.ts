import assert from 'node:assert/strict'
import type { Dispatcher, Schedule } from '../../../index.js'
import type { Cases } from '../suite.js'
import type { DispatcherSubject } from './subject.js'

/** Longer than a millisecond, as definitions are compared by their time. */
const later = 2

const job = { type: 'test', id: 'a' }

export const scheduleCases: Cases<DispatcherSubject> = {
  async 'schedules: a registry yields to a later definition, until that registry is gone'({ open, time }) {
    const [older, newer] = [open(), open()]
    const rivals = define(older, { every: 1000 })
    await time.pass(later)
    const own = define(newer, { every: 2000 })
    await time.until(() => rivals.length > 0)
    assert.equal(rivals[0], undefined)
    const closedAt = time.clock.now()
    await newer.close?.()
    await time.until(() => rivals.at(-1) !== undefined)
    const lastSeen = rivals.at(-1) as number
    assert.ok(Math.abs(closedAt - lastSeen) < 10_000, `Expected about ${closedAt}, got ${lastSeen}`)
    assert.deepEqual(own, [])
  },

  async 'schedules: a registry yields to a later definition that has no schedule'({ open, time }) {
    const [older, newer] = [open(), open()]
    const rivals = define(older, { every: 1000 })
    await time.pass(later)
    define(newer, undefined)
    await time.until(() => rivals.length > 0)
    assert.equal(rivals[0], undefined)
  },

  async 'schedules: a registry follows its own again when another one has removed the later definition'({
    open,
    time,
  }) {
    const [older, newer] = [open(), open()]
    const rivals = define(older, { every: 1000 })
    await time.pass(later)
    const own = define(newer, { every: 2000 })
    await time.until(() => rivals.length > 0)
    newer.schedules?.remove(job)
    await time.until(() => rivals.at(-1) !== undefined)
    assert.deepEqual(own, [])
    await time.pass(later)
    define(newer, { every: 3000 })
    await time.until(() => rivals.at(-1) === undefined)
  },
}

/** Defines the schedule of a job. Returns what the registry hears of rivals: when each was last seen, if it is gone. */
function define(dispatcher: Dispatcher, schedule: Schedule | undefined): (number | undefined)[] {
  const rivals: (number | undefined)[] = []
  assert.ok(dispatcher.schedules, 'Expected `schedules`')
  dispatcher.schedules.set(job, schedule, (lastSeen) => rivals.push(lastSeen))
  return rivals
}
