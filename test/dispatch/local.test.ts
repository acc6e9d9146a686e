import { localDispatcher } from 'headgate'
import { dispatcherSuite } from 'headgate/testing'
import { describe, test } from 'vitest'

describe('localDispatcher keeps the contract of a dispatcher', () => {
  const why = 'its line is in this process'
  dispatcherSuite({ test, create: () => ({ open: localDispatcher }), cannot: { share: why, redeliver: why } })
})
