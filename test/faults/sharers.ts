import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout } from 'node:timers/promises'
import type { JobStorage } from 'headgate'
import type { ExecutionRecord } from 'headgate/adapter'
import { postgresStorage } from 'headgate/postgres'
import pg from 'pg'
import { programOf } from '../support/program.js'
import { rowCount, type Said, type SharerPlan, tables } from './dispatch-plan.js'

/** Processes that share a storage and a line, and a look at what became of their jobs. */
export class Sharers {
  readonly storage: JobStorage
  /** The jobs whose start was accepted. */
  readonly accepted = new Set<string>()
  readonly #program: string
  readonly #plan: Omit<SharerPlan, 'name'>
  readonly #pool: pg.Pool
  #processes: ChildProcess[] = []
  #count = 0

  private constructor(program: string, plan: Omit<SharerPlan, 'name'>) {
    this.#program = program
    this.#plan = plan
    this.storage = postgresStorage({ connectionString: plan.url })
    this.#pool = new pg.Pool({ connectionString: plan.url, max: 2 })
  }

  /** So many processes, all of them ready, over an empty database. */
  static async open(plan: Omit<SharerPlan, 'name'>, size: number): Promise<Sharers> {
    const program = await programOf(new URL('sharer.ts', import.meta.url))
    const sharers = new Sharers(program, plan)
    await sharers.#pool.query(tables)
    await sharers.storage.live({ type: 'ingestion' })
    await Promise.all(Array.from({ length: size }, () => sharers.add()))
    return sharers
  }

  /** Starts another process, and waits until it is ready. */
  async add(more: Partial<SharerPlan> = {}): Promise<ChildProcess> {
    const plan = JSON.stringify({ ...this.#plan, name: `sharer-${++this.#count}`, ...more })
    const process = fork(this.#program, [plan], { execArgv: [] })
    process.on('message', (said: Said) => said !== 'ready' && this.accepted.add(said.accepted))
    this.#processes.push(process)
    await once(process, 'message')
    return process
  }

  /** Kills one of the processes that are ready, any of them, and starts another one in its place. */
  async replaceOne(): Promise<void> {
    const victim = this.#processes[Math.floor(Math.random() * this.#processes.length)]
    this.#processes = this.#processes.filter((process) => process !== victim)
    if (victim) await kill(victim)
    await this.add()
  }

  /** Starts jobs, in any of the processes, again where one was killed before it could, until all are accepted. */
  async start(jobs: readonly string[]): Promise<void> {
    const sentTo = new Map<string, ChildProcess>()
    for (let left = jobs; left.length > 0; left = await this.#unknown(jobs)) {
      const processes = this.#processes.filter(({ connected }) => connected)
      // One that is alive may only be slow, and would start the job a second time.
      const unsent = left.filter((job) => !sentTo.get(job)?.connected)
      for (const [index, process] of processes.entries()) {
        const its = unsent.filter((_, at) => at % processes.length === index)
        for (const job of its) sentTo.set(job, process)
        process.send(its)
      }
      for (let wait = 0; wait < 100 && left.some((job) => !this.accepted.has(job)); wait++) await setTimeout(20)
    }
  }

  /** The jobs that storage knows nothing of. What it knows of was accepted, though nobody lived to tell. */
  async #unknown(jobs: readonly string[]): Promise<string[]> {
    const unknown: string[] = []
    for (const job of jobs) {
      if (this.accepted.has(job) || (await this.storage.find('ingestion', job))) this.accepted.add(job)
      else unknown.push(job)
    }
    return unknown
  }

  /** How many jobs have ended well. */
  async successes(): Promise<number> {
    return (await this.storage.search({ type: 'ingestion', state: 'successful', size: 0 })).total
  }

  /** Waits until so many jobs have ended well. Throws when they have not within `timeout` milliseconds. */
  async untilSuccessful(count: number, timeout: number): Promise<void> {
    const end = Date.now() + timeout
    while ((await this.successes()) < count) {
      if (Date.now() > end) throw new Error(`Expected ${count} jobs to be successful, got ${await this.#summary()}`)
      await setTimeout(50)
    }
  }

  /** All that is not as if each job had run once, by itself, in words: nothing, if all is well. */
  async faults(): Promise<string[]> {
    const { rows: overlaps } = await this.#pool.query('select job from overlap')
    const { rows: copies } = await this.#pool.query(
      'select job, count(*)::int as rows, count(distinct id)::int as ids from copied group by job',
    )
    const copied = new Map(copies.map(({ job, rows, ids }) => [job, `${rows} rows of ${ids} ids`]))
    const faults = overlaps.map(({ job }) => `${job} ran twice at once`)
    for (const job of this.#plan.jobs) {
      const rows = copied.get(job)
      if (rows !== `${rowCount} rows of ${rowCount} ids`) faults.push(`${job} copied ${rows}`)
      faults.push(...faultsOf(job, await this.#log(job)))
    }
    return faults
  }

  /** The times of the schedule of `task/tick` that executions were begun for by now, with how those ended, in order. */
  async ticks(): Promise<Map<number, string[]>> {
    const { hits } = await this.storage.search({ type: 'task', id: 'tick', size: 1000 })
    const ticks = new Map<number, string[]>()
    for (const { scheduledFor = 0, state, isOrphaned } of hits.reverse()) {
      ticks.set(scheduledFor, [...(ticks.get(scheduledFor) ?? []), isOrphaned ? 'orphaned' : state])
    }
    return ticks
  }

  async close(): Promise<void> {
    await Promise.all(this.#processes.map(kill))
    await this.storage.close?.()
    await this.#pool.end()
  }

  /** The executions of a job that have ended, oldest first. */
  async #log(id: string): Promise<ExecutionRecord[]> {
    const { hits } = await this.storage.search({ type: 'ingestion', id, size: 1000 })
    return hits.reverse()
  }

  async #summary(): Promise<string> {
    const states: string[] = []
    for (const state of ['successful', 'queued', 'running', 'aborting', 'error'] as const) {
      states.push(`${(await this.storage.search({ type: 'ingestion', state, size: 0 })).total} ${state}`)
    }
    return states.join(', ')
  }
}

/** What is wrong with the executions of a job: each must begin when the one before it has ended, and the last one ends well. */
function faultsOf(job: string, log: readonly ExecutionRecord[]): string[] {
  const faults: string[] = []
  const states = log.map(({ state, isOrphaned }) => (isOrphaned ? 'orphaned' : state))
  if (!/^(orphaned )*successful$/.test(states.join(' '))) faults.push(`${job} was ${states.join(', ')}`)
  for (const [index, { startTime }] of log.entries()) {
    if (startTime < (log[index - 1]?.endTime ?? 0)) faults.push(`${job} began before its last execution ended`)
  }
  return faults
}

async function kill(process: ChildProcess): Promise<void> {
  if (process.exitCode !== null || process.signalCode !== null) return
  const gone = once(process, 'exit')
  process.kill('SIGKILL')
  await gone
}
