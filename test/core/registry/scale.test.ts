import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { type Calls, type Load, SteadyWorld } from './scale-rates.js'
import { type ScalePlan, type ScaleReport, ScaleWorld, seeded } from './scale-world.js'

/** `HEADGATE_SCALE=full` lets 100,000 executions start over 1,000 registries; `HEADGATE_SCALE_SEED` repeats a run. */
const { HEADGATE_SCALE, HEADGATE_SCALE_SEED } = process.env
const seed = Number(HEADGATE_SCALE_SEED ?? Math.floor(Math.random() * 2 ** 32))
const isFull = HEADGATE_SCALE === 'full'
const [nodes, starts] = isFull ? [1000, 100_000] : [300, 2500]

/** What the library leaves to chance comes from the seed too. */
beforeEach(() => {
  vi.spyOn(Math, 'random').mockImplementation(seeded(seed))
})
afterEach(() => {
  vi.restoreAllMocks()
})

async function lifeOf(plan: Omit<ScalePlan, 'seed'>): Promise<ScaleReport> {
  try {
    return await new ScaleWorld({ seed, ...plan }).run()
  } catch (error) {
    throw new Error(`HEADGATE_SCALE_SEED=${seed} repeats this.`, { cause: error })
  }
}

test(`over ${nodes} registries and ${starts} starts with crashes, no job is live twice, and none is lost`, async () => {
  const plan = { nodes, listening: 20, jobs: 300, starts, crashes: starts / 40 }
  const report = await lifeOf(plan)
  if (isFull) console.log(seed, report)
  const { begun = 0, takenOver = 0, successful = 0, aborted = 0, error = 0 } = report.executions
  const repeat = `HEADGATE_SCALE_SEED=${seed} repeats this: ${JSON.stringify(report)}`
  assert(begun >= starts, repeat)
  assert.equal(successful + aborted, begun, repeat)
  assert.equal(error, takenOver, repeat)
  // It was no quiet life.
  expect(Math.min(...Object.values(report.crashes), ...Object.values(report.line)), repeat).toBeGreaterThan(0)
  assert(takenOver > 0 && aborted > 0 && (report.zombieSteps > 0 || !isFull), repeat)
}, 600_000)

describe('what is asked of storage', () => {
  const load: Load = { nodes: 20, running: 20, defined: 50, types: 1, log: 300 }
  const minutes = 3

  async function callsOf(other: Partial<Load>): Promise<Calls> {
    const world = new SteadyWorld({ ...load, ...other }, seeded(seed))
    await world.start()
    return world.callsIn(minutes)
  }

  test('grows with the jobs that run, and not with the log or the jobs that are defined', async () => {
    const calls = await callsOf({})
    expect(await callsOf({ log: 10 * load.log })).toEqual(calls)
    expect(await callsOf({ defined: 10 * load.defined, types: 10 * load.types })).toEqual(calls)
    const twice = await callsOf({ running: 2 * load.running })
    for (const method of ['renew', 'find']) expect(ratio(twice, calls, method)).toBeCloseTo(2, 1)
    for (const method of ['orphans', 'search']) expect(ratio(twice, calls, method)).toBeCloseTo(1, 1)
    expect(Object.keys(twice).sort()).toEqual(['find', 'orphans', 'renew', 'search'])
  })

  test('grows with the registries where they look by themselves, whatever they run', async () => {
    const [calls, twice] = [await callsOf({}), await callsOf({ nodes: 2 * load.nodes })]
    for (const method of ['renew', 'find']) expect(ratio(twice, calls, method)).toBeCloseTo(1, 1)
    for (const method of ['orphans', 'search']) expect(ratio(twice, calls, method)).toBeCloseTo(2, 1)
  })

  test('a node that dies costs what its jobs do, however many hear of it', async () => {
    const world = new SteadyWorld({ ...load, nodes: 200 }, seeded(seed))
    await world.start()
    const calm = await world.callsIn(2)
    const left = await world.kill()
    const calls = await world.callsIn(2)
    expect(left).toBeGreaterThan(0)
    expect(calls.begin).toBe(left)
    expect((calls.orphans ?? 0) - (calm.orphans ?? 0)).toBeLessThan(20)
  })
})

function ratio(calls: Calls, others: Calls, method: string): number {
  return (calls[method] ?? 0) / (others[method] ?? 0)
}
