import assert from 'node:assert/strict'
import fc from 'fast-check'
import { isLive } from 'headgate'
import { test } from 'vitest'
import { LifecycleModel, type Step, type WorldPlan } from './lifecycle-model.js'
import { LifecycleWorld } from './lifecycle-world.js'

const maxJobs = 3
const job = fc.nat(maxJobs - 1)
const at = fc.nat(1)
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('start'), at, job }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('abort'), at, job }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('return', 'complete', 'throw'), job }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('progress'), job, count: fc.nat(9) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('advance'), ms: fc.nat(4000) }) },
)
const plan: fc.Arbitrary<WorldPlan> = fc.record({
  jobs: fc.array(fc.record({ ignoresSignal: fc.boolean() }), { minLength: maxJobs, maxLength: maxJobs }),
  concurrency: fc.constantFrom(1, 2, maxJobs),
})

test('one step after the other, every job is in the state that the table says, over 10,000 random lives', async () => {
  const property = fc.asyncProperty(plan, fc.array(step, { minLength: 1, maxLength: 12 }), async (plan, steps) => {
    const world = new LifecycleWorld(plan)
    const model = new LifecycleModel(plan)
    for (const step of steps) {
      await world.perform(step)
      model.apply(step)
      const states = (await world.look()).map(({ state }) => state)
      assert.deepEqual(
        states,
        model.jobs.map(({ state }) => state),
      )
    }
    const ended = model.jobs.map(({ state, count }) => (state && !isLive(state) ? count : undefined))
    const seen = (await world.look()).map(({ state, count }) => (state && !isLive(state) ? count : undefined))
    assert.deepEqual(seen, ended)
    await world.endAll()
    await world.check()
  })
  await fc.assert(property, { numRuns: 10_000 })
}, 60_000)

test('all steps at once, nothing breaks, over 5,000 random lives', async () => {
  const bursts = fc.array(fc.array(step, { minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 4 })
  const property = fc.asyncProperty(plan, bursts, async (plan, bursts) => {
    const world = new LifecycleWorld(plan)
    for (const burst of bursts) await world.perform(...burst)
    await world.endAll()
    await world.check()
  })
  await fc.assert(property, { numRuns: 5000 })
}, 60_000)
