import { localDispatcher } from 'headgate'
import { dispatcherSuite, fakeClock } from 'headgate/testing'
import { describe, test } from 'vitest'

describe('localDispatcher keeps the contract of a dispatcher', () => {
  const why = 'its line is in this process'
  dispatcherSuite({
    test,
    create: () => {
      const clock = fakeClock()
      return { open: localDispatcher, clock, pass: clock.advance }
    },
    unsupported: { share: why, redeliver: why, schedules: why },
  })
})
