/**
 * Runs random jobs over random data under random faults, and compares what they have written with the source.
 *
 *     npm run fuzz -- --seconds 600            for ten minutes; 60 seconds unless said
 *     npm run fuzz -- --seed 123               one round again
 *
 * Ends with code 1 when something is wrong, and prints the seeds.
 */
import { parseArgs } from 'node:util'
import { startPostgres } from '../support/postgres.js'
import { planOf } from './plan.js'
import { type Outcome, play } from './round.js'

/** How long a round may take, in milliseconds. */
const patience = 60_000

const { values } = parseArgs({ options: { seconds: { type: 'string', default: '60' }, seed: { type: 'string' } } })

const strays: unknown[] = []
for (const event of ['uncaughtException', 'unhandledRejection', 'warning'])
  process.on(event, (error) => strays.push(error))

const server = await startPostgres({ max_connections: '200', fsync: 'off' })
const wrong: number[] = []
const totals = { rounds: 0, runs: 0, faults: new Map<string, number>(), refusals: new Map<string, number>() }
try {
  if (values.seed !== undefined) await round(Number(values.seed))
  else for (const end = Date.now() + Number(values.seconds) * 1000; Date.now() < end; ) await round(newSeed())
} finally {
  await server.stop()
}
const listed = (counts: Map<string, number>) =>
  [...counts].map(([what, count]) => `${count} x ${what}`).join(', ') || 'none'
console.log(`${totals.rounds} rounds, ${totals.runs} runs; faults: ${listed(totals.faults)}.`)
console.log(`Jobs that were refused: ${listed(totals.refusals)}.`)
console.log(wrong.length === 0 ? 'All of them ended as they should.' : `Wrong: seeds ${wrong.join(', ')}.`)
process.exit(wrong.length === 0 ? 0 : 1)

async function round(seed: number): Promise<void> {
  const outcome = await Promise.race([play(seed, server.url).catch(crashed), late()])
  totals.rounds++
  totals.runs += outcome.runs
  for (const fault of outcome.faults) totals.faults.set(fault, (totals.faults.get(fault) ?? 0) + 1)
  if (outcome.refusal) totals.refusals.set(outcome.refusal, (totals.refusals.get(outcome.refusal) ?? 0) + 1)
  const problem = outcome.problem ?? (strays.length > 0 ? strays.splice(0).map(stackOf).join('\n') : undefined)
  if (problem === undefined) return
  wrong.push(seed)
  console.error(
    `seed ${seed}: ${problem}\n  faults: ${outcome.faults.join(', ') || 'none'}\n  ${JSON.stringify(planOf(seed))}\n`,
  )
}

function crashed(error: unknown): Outcome {
  return { runs: 0, faults: [], problem: stackOf(error) }
}

async function late(): Promise<Outcome> {
  await new Promise((resolve) => setTimeout(resolve, patience).unref())
  return { runs: 0, faults: [], problem: `not done after ${patience} ms` }
}

function newSeed(): number {
  return Math.floor(Math.random() * 2 ** 31)
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
