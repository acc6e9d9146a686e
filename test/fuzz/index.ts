/**
 * Runs random jobs over random data under random faults, and compares what they have written with a model.
 *
 *     npm run fuzz -- --seconds 600            for ten minutes; 60 seconds unless said, and each theme once at least
 *     npm run fuzz -- --seed 123               one round again
 *     npm run fuzz -- --theme 'nulls first'    rounds of one theme
 *
 * Ends with code 1 when something is wrong, and prints seed, problem and plan of each such round.
 *
 * A round is a plan of a seed, in a database of its own: a table, a job that copies it, faults, and steps between runs.
 *
 * 1. `plan.ts` draws the plan: read its interfaces first. `themes.ts` gives seeds that follow one another each theme in turn, so
 *    that none is left out by chance. `sensible.ts` takes away what the docs refuse.
 * 2. `world.ts` makes source and target, and does to them what a step says. `backup.ts` saves and restores. `faults.ts` strikes the job
 *    while it runs.
 * 3. `model.ts` says what the target should hold then, in SQL, without headgate.
 * 4. `job.ts` makes the job of the plan. It alone knows headgate's options.
 * 5. `round.ts` runs the job until a run reads nothing, and compares. A job may fail without a fault only with the message that
 *    the docs promise (`#due`); then the round takes the way out that they name, and goes on. A machine that is too busy to renew
 *    a lease counts as a fault (`overload`).
 */
import { parseArgs } from 'node:util'
import { startPostgres } from '../support/postgres.js'
import { planOf } from './plan.js'
import { type Outcome, play } from './round.js'
import { themeNames } from './themes.js'

/** How long a round may take, in milliseconds. */
const patience = 180_000

/** How many rounds are played at once: most of the time, each waits. */
const atOnce = 4

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '60' }, seed: { type: 'string' }, theme: { type: 'string' } },
})

const strays: unknown[] = []
for (const event of ['uncaughtException', 'unhandledRejection', 'warning'])
  process.on(event, (error) => strays.push(error))

const server = await startPostgres({ max_connections: '200', fsync: 'off' })
const wrong: number[] = []
const totals = {
  runs: 0,
  themes: new Map<string, number>(),
  faults: new Map<string, number>(),
  refusals: new Map<string, number>(),
}
if (values.theme !== undefined && !themeNames.includes(values.theme)) {
  throw new Error(`Expected \`--theme\` to be one of ${themeNames.join('; ')}, got ${values.theme}`)
}
try {
  if (values.seed !== undefined) await round(Number(values.seed))
  else await playUntil(Date.now() + Number(values.seconds) * 1000)
} finally {
  await server.stop()
}
const listed = (counts: Map<string, number>) =>
  [...counts].map(([what, count]) => `${count} x ${what}`).join(', ') || 'none'
console.log(`${sum(totals.themes)} rounds, ${totals.runs} runs. Themes: ${listed(totals.themes)}.`)
console.log(`Faults: ${listed(totals.faults)}.`)
console.log(`Refusals that were due: ${listed(totals.refusals)}.`)
console.log(wrong.length === 0 ? 'All of them ended as they should.' : `Wrong: seeds ${wrong.join(', ')}.`)
process.exit(wrong.length === 0 ? 0 : 1)

/** Plays rounds of seeds that follow one another, until the time is over and each theme was there. */
async function playUntil(end: number): Promise<void> {
  const first = Math.floor(Math.random() * 2 ** 30)
  let next = first
  const player = async () => {
    while (Date.now() < end || next - first < themeNames.length) {
      const seed = next++
      if (values.theme === undefined || planOf(seed).theme === values.theme) await round(seed)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, player))
}

async function round(seed: number): Promise<void> {
  const plan = planOf(seed)
  const outcome = await Promise.race([play(seed, server.url).catch(crashed), late()])
  totals.runs += outcome.runs
  add(totals.themes, plan.theme)
  for (const fault of outcome.faults) add(totals.faults, fault)
  for (const refusal of outcome.refusals) add(totals.refusals, refusal)
  const problem = outcome.problem ?? (strays.length > 0 ? strays.splice(0).map(stackOf).join('\n') : undefined)
  if (problem === undefined) return
  wrong.push(seed)
  console.error(
    `seed ${seed}: ${problem}\n  faults: ${outcome.faults.join(', ') || 'none'}\n  ${JSON.stringify(plan)}\n`,
  )
}

function crashed(error: unknown): Outcome {
  return { runs: 0, faults: [], refusals: [], problem: stackOf(error) }
}

async function late(): Promise<Outcome> {
  await new Promise((resolve) => setTimeout(resolve, patience).unref())
  return { runs: 0, faults: [], refusals: [], problem: `not done after ${patience} ms` }
}

function add(counts: Map<string, number>, what: string): void {
  counts.set(what, (counts.get(what) ?? 0) + 1)
}

function sum(counts: Map<string, number>): number {
  return [...counts.values()].reduce((all, count) => all + count, 0)
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
