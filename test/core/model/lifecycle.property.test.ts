import assert from 'node:assert/strict'
import fc from 'fast-check'
import { isEnded, type JobState } from 'headgate'
import { test } from 'vitest'
import { LifecycleModel, type Step, type WorldPlan } from './lifecycle-model.js'
import { LifecycleWorld } from './lifecycle-world.js'

interface SeenJob {
  readonly states: JobState[]
  readonly count: number
}

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
const jobs = fc.array(fc.record({ ignoresSignal: fc.boolean() }), { minLength: maxJobs, maxLength: maxJobs })
const concurrency = fc.constantFrom(1, 2, maxJobs)
const promptPlan: fc.Arbitrary<WorldPlan> = fc.record({
  jobs,
  concurrency,
  delays: fc.constant([0]),
  isWatched: fc.constant(true),
  progressInterval: fc.constant(1000),
})
const slowPlan: fc.Arbitrary<WorldPlan> = fc.record({
  jobs,
  concurrency,
  delays: fc.array(fc.nat(20), { minLength: 1, maxLength: 8 }),
  isWatched: fc.boolean(),
  progressInterval: fc.constantFrom(0, 1000),
})

test('one step after the other, every job is in the state that the table says, over 1,000 random lives', async () => {
  const property = fc.asyncProperty(
    promptPlan,
    fc.array(step, { minLength: 1, maxLength: 12 }),
    async (plan, steps) => {
      const world = new LifecycleWorld(plan)
      const model = new LifecycleModel(plan)
      for (const step of steps) {
        await world.perform(step)
        model.apply(step)
        assert.deepEqual(statesOf(world.jobs), statesOf(model.jobs))
        assert.deepEqual(finalCountsOf(world.jobs), finalCountsOf(model.jobs))
      }
      await world.endAll()
      await world.check()
    },
  )
  await fc.assert(property, { numRuns: 1000 })
}, 60_000)

function statesOf(jobs: readonly SeenJob[]): JobState[][] {
  return jobs.map(({ states }) => states)
}

/** Until a job has ended, what it says may not be saved yet. */
function finalCountsOf(jobs: readonly SeenJob[]): (number | undefined)[] {
  return jobs.map(({ states, count }) => (isEnded(states.at(-1) ?? 'queued') ? count : undefined))
}

test('all steps at once over a slow storage, nothing breaks, over 500 random lives', async () => {
  const bursts = fc.array(fc.array(step, { minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 4 })
  const property = fc.asyncProperty(slowPlan, bursts, async (plan, bursts) => {
    const world = new LifecycleWorld(plan)
    for (const burst of bursts) await world.perform(...burst)
    await world.endAll()
    await world.check()
  })
  await fc.assert(property, { numRuns: 500 })
}, 60_000)
