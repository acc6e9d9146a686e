import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { type EndedStatus, isLive, JobError, type JobRegistry } from 'headgate'
import pg from 'pg'
import { freshDatabase } from '../support/postgres.js'
import { type Fault, isReplace, type Plan, planOf, seesChanges } from './plan.js'
import { add, applicationName, change, difference, jobId, open, openStorage, type Place, prepare } from './world.js'

/** What a round came to. */
export interface Outcome {
  /** How often the job ran. */
  readonly runs: number
  /** The faults that took place. */
  readonly faults: readonly Fault['what'][]
  /** Why the job could not be defined or run at all, when it could not. */
  readonly refusal?: string
  /** What is wrong. */
  readonly problem?: string
}

/** The most runs until one reads nothing. */
const maxRuns = 60

/** Errors that no fault excuses. */
const bugs = /TypeError|RangeError|ReferenceError|is not a function|undefined|\[object|Cannot read/

/** Plays the round of a seed, on a database and in a folder of its own. */
export async function play(seed: number, server: string): Promise<Outcome> {
  const database = await freshDatabase(server)
  const folder = await mkdtemp(join(tmpdir(), 'headgate-fuzz-'))
  const pool = new pg.Pool({ connectionString: database.url })
  pool.on('error', () => undefined)
  const round = new Round(planOf(seed), { url: database.url, folder }, pool)
  try {
    return await round.play()
  } finally {
    await round.close()
    await pool.end()
    await database.drop()
    await rm(folder, { recursive: true })
  }
}

class Round {
  readonly #plan: Plan
  readonly #place: Place
  readonly #pool: pg.Pool
  readonly #done: Fault['what'][] = []
  #storage: ReturnType<typeof openStorage>
  #registry: JobRegistry | undefined
  #runs = 0

  constructor(plan: Plan, place: Place, pool: pg.Pool) {
    this.#plan = plan
    this.#place = place
    this.#pool = pool
    this.#storage = openStorage(plan, place)
  }

  async play(): Promise<Outcome> {
    const { faults, changes } = this.#plan
    await prepare(this.#plan, this.#pool)
    try {
      this.#open()
    } catch (error) {
      if (JobError.isInstance(error) && error.code === 'invalid_options')
        return this.#outcome({ refusal: error.message })
      throw error
    }
    const waiting = [...faults]
    for (const { added, changed } of [{ added: 0, changed: 0 }, ...changes]) {
      await add(this.#plan, this.#pool, added)
      if (seesChanges(this.#plan)) await change(this.#pool, changed)
      const ended = await this.#runToEnd(waiting)
      if (ended) return this.#outcome(ended)
    }
    await this.close()
    return this.#outcome({ ...(await this.#leftovers()) })
  }

  async close(): Promise<void> {
    await this.#registry?.close({ timeout: 5000 })
    this.#registry = undefined
  }

  #open(): JobRegistry {
    this.#registry = open(this.#plan, this.#place, this.#storage)
    return this.#registry
  }

  /** Runs the job until it is done, and target and source are equal. */
  async #runToEnd(waiting: (Fault | null)[]): Promise<Pick<Outcome, 'problem' | 'refusal'> | undefined> {
    const isOnce = isReplace(this.#plan.write.kind) || this.#plan.read.way === 'whole'
    for (let run = 0; run < maxRuns; run++) {
      const fault = waiting.shift() ?? undefined
      const status = await this.#run(fault)
      if (!status) continue
      if (status.state === 'successful' && (isOnce || status.count === 0)) return this.#compare()
      const messages = status.state === 'error' ? status.error.join(' | ') : ''
      if (bugs.test(messages)) return { problem: messages }
      if (status.state !== 'successful' && !fault) {
        return this.#runs === 1 ? { refusal: messages } : { problem: `without a fault: ${status.state} ${messages}` }
      }
    }
    return { problem: `not done after ${maxRuns} runs` }
  }

  /** One run, with a fault in it. `undefined` when its end was not heard of. */
  async #run(fault: Fault | undefined): Promise<EndedStatus | undefined> {
    this.#runs++
    if (fault?.what === 'kill' && this.#plan.storage !== 'memory') return this.#runAndKill(fault.after)
    const registry = this.#registry ?? this.#open()
    const { finished } = await this.#start(registry)
    const done = new AbortController()
    const striking = fault && this.#strike(fault, registry, done.signal)
    const status = await finished
    done.abort()
    await striking
    return status.state === 'aborted' && !this.#registry ? undefined : status
  }

  /** Starts the job, once nobody holds it any more. */
  async #start(registry: JobRegistry) {
    for (;;) {
      try {
        return await registry.start('ingestion', jobId)
      } catch (error) {
        if (!JobError.isInstance(error) || error.code !== 'already_running') throw error
        await setTimeout(50)
      }
    }
  }

  async #strike({ what, after }: Fault, registry: JobRegistry, done: AbortSignal): Promise<void> {
    await setTimeout(after, undefined, { signal: done }).catch(() => undefined)
    if (done.aborted) return
    this.#done.push(what)
    if (what === 'abort') await registry.abort('ingestion', jobId)
    else if (what === 'close') {
      await this.close()
      this.#storage = this.#plan.storage === 'memory' ? this.#storage : openStorage(this.#plan, this.#place)
    } else if (what === 'lock') await this.#lock()
    else await this.#signal(what === 'cancel' ? 'pg_cancel_backend' : 'pg_terminate_backend')
  }

  /** Keeps the target locked for a moment. */
  async #lock(): Promise<void> {
    const { rows } = await this.#pool.query(`select to_regclass('copy') is not null as there`)
    if (!rows[0]?.there) return
    const client = await this.#pool.connect()
    try {
      await client.query(`set lock_timeout = '1s'; begin; lock table copy`)
      await setTimeout(100)
    } catch {
      // The job would not let go of it.
    } finally {
      await client.query('rollback')
      client.release()
    }
  }

  async #signal(call: string): Promise<void> {
    await this.#pool.query(
      `select ${call}(pid) from pg_stat_activity
        where datname = current_database() and application_name = $1 order by random() limit 1`,
      [applicationName],
    )
  }

  /** Lets a process of its own run the job, and kills it. */
  async #runAndKill(after: number): Promise<EndedStatus | undefined> {
    await this.close()
    const child = fork(new URL('worker.ts', import.meta.url), [JSON.stringify([this.#plan, this.#place])], {
      execArgv: ['--import', 'tsx'],
    })
    const ended = new Promise<EndedStatus>((resolve) => {
      child.on('message', (message) => {
        if (message === 'started') void setTimeout(after).then(() => child.kill('SIGKILL'))
        else resolve(message as EndedStatus)
      })
    })
    const status = await Promise.race([ended, exitOf(child)])
    if (!status) this.#done.push('kill')
    child.kill('SIGKILL')
    this.#storage = openStorage(this.#plan, this.#place)
    await this.#untilDead()
    return status
  }

  /** Waits until no lease holds the job. */
  async #untilDead(): Promise<void> {
    for (;;) {
      const record = await this.#storage.find('ingestion', jobId)
      if (!record || !isLive(record.state)) return
      await setTimeout(50)
    }
  }

  async #compare(): Promise<Pick<Outcome, 'problem'> | undefined> {
    const found = await difference(this.#plan, this.#pool, this.#place.folder)
    return found === undefined ? undefined : { problem: found }
  }

  /** Connections and staging tables that should be gone. */
  async #leftovers(): Promise<Pick<Outcome, 'problem'> | undefined> {
    for (let tries = 0; ; tries++) {
      const { rows } = await this.#pool.query(
        `select application_name || ': ' || state || ' ' || query as what from pg_stat_activity
          where datname = current_database() and application_name = $1`,
        [applicationName],
      )
      if (rows.length === 0) return undefined
      if (tries === 100) return { problem: `left on the server: ${rows.map(({ what }) => what).join('; ')}` }
      await setTimeout(50)
    }
  }

  #outcome(more: Pick<Outcome, 'problem' | 'refusal'>): Outcome {
    return { runs: this.#runs, faults: this.#done, ...more }
  }
}

async function exitOf(child: ChildProcess): Promise<undefined> {
  await once(child, 'exit')
}
