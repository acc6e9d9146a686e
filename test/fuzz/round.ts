import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { type EndedStatus, isLive, JobError, type JobRegistry } from 'headgate'
import pg from 'pg'
import { freshDatabase } from '../support/postgres.js'
import { Backup } from './backup.js'
import { leftovers, lock, runAndKill, signal } from './faults.js'
import { jobId, open, openStorage } from './job.js'
import { Model } from './model.js'
import { type Fault, isFile, isReplace, type Plan, planOf, readsAll, type Step, seesChanges } from './plan.js'
import { type Place, World } from './world.js'

/** What a round came to. */
export interface Outcome {
  /** How often the job ran. */
  readonly runs: number
  /** The faults that took place. */
  readonly faults: readonly (Fault['what'] | 'overload')[]
  /** The refusals that were due, and came. */
  readonly refusals: readonly string[]
  /** What is wrong. */
  readonly problem?: string
}

/** The most runs until one reads nothing. */
const maxRuns = 60

/** Errors that nothing excuses. */
const bugs = /TypeError|RangeError|ReferenceError|is not a function|undefined|\[object|Cannot read/

/** What a job says whose lease ran out: on a machine with too much to do, that is a fault like others. */
const overload = /stopped answering|lease of node|does not have this execution/

/** What a job says when one that ran out of its lease has begun a part since: the next run is later than that. */
const overtaken = /A later execution of job/

/** Plays the round of a seed, on a database and in a folder of its own. */
export async function play(seed: number, server: string): Promise<Outcome> {
  const database = await freshDatabase(server)
  const folder = await mkdtemp(join(tmpdir(), 'headgate-fuzz-'))
  const pool = new pg.Pool({ connectionString: database.url })
  pool.on('error', () => undefined)
  const round = new Round(planOf(seed), { url: database.url, folder, storage: 0 }, pool)
  try {
    return await round.play()
  } finally {
    await round.close()
    await pool.end()
    await database.drop()
    await rm(folder, { recursive: true })
  }
}

/** How the runs until nothing is left to read have ended. */
type End = 'done' | 'refused' | { readonly problem: string }

/** A refusal that the docs promise. */
interface Due {
  /** What the job says. */
  readonly message: RegExp
  /** The way out; without one, the refusal is for good. */
  readonly cure?: () => Promise<void>
  /** Whether it may also not come. */
  readonly isOptional?: boolean
}

class Round {
  readonly #plan: Plan
  readonly #pool: pg.Pool
  readonly #world: World
  readonly #model: Model
  readonly #faults: Outcome['faults'][number][] = []
  readonly #refusals: string[] = []
  #place: Place
  #storage: ReturnType<typeof openStorage>
  readonly #backup: Backup
  #registry: JobRegistry | undefined
  /** What to tell the model when the backup is put back, and of which target it is. */
  #saved: { readonly restoreNumbers: () => void; readonly remakes: number } | undefined
  #runs = 0
  #wasOvertaken = false

  constructor(plan: Plan, place: Place, pool: pg.Pool) {
    this.#plan = plan
    this.#place = place
    this.#pool = pool
    this.#world = new World(plan, pool, place.folder)
    this.#backup = new Backup(pool, place.folder)
    this.#model = new Model(plan, pool, this.#world)
    this.#storage = openStorage(plan, place)
  }

  async play(): Promise<Outcome> {
    const problem = await this.#play()
    return {
      runs: this.#runs,
      faults: this.#faults,
      refusals: this.#refusals,
      ...(problem !== undefined && { problem }),
    }
  }

  async #play(): Promise<string | undefined> {
    await this.#world.prepare()
    await this.#model.prepare()
    this.#open()
    const waiting = [...this.#plan.faults]
    for (const step of [undefined, ...this.#plan.steps]) {
      if (step) await this.#happen(step, waiting)
      const end = await this.#runToEnd(waiting)
      if (typeof end === 'object') return `${step?.what ?? 'at first'}: ${end.problem}`
      if (end === 'refused') return this.#model.strangers()
      await this.#model.load()
      const wrong =
        (await this.#model.difference()) ??
        (await this.#model.deadLetters()) ??
        (await this.#world.ownColumns(this.#faults.length > 0))
      if (wrong !== undefined) return `${step?.what ?? 'at first'}: ${wrong}`
      if (!step) await this.#save()
    }
    await this.close()
    return leftovers(this.#pool)
  }

  async close(): Promise<void> {
    await this.#registry?.close({ timeout: 5000 })
    this.#registry = undefined
  }

  #open(): JobRegistry {
    this.#registry = open(this.#plan, this.#place, this.#storage)
    return this.#registry
  }

  async #happen({ what, isMidway, added, changed, deleted }: Step, waiting: (Fault | null)[]): Promise<void> {
    await this.#world.delete(deleted)
    await this.#world.add(added)
    if (seesChanges(this.#plan)) await this.#world.change(changed)
    if (isMidway) await this.#run(waiting.shift() ?? undefined)
    if (what === 'rewind' || what === 'restore') return this.#restore(what)
    await this.#model.happen(what)
    await this.#world.lose(what)
    if (what === 'lose' || what === 'lose all') await this.#loseStorage()
  }

  /** A registry that closes closes its storage. That in memory stays what it is. */
  #reopenStorage(): void {
    if (this.#plan.storage !== 'memory') this.#storage = openStorage(this.#plan, this.#place)
  }

  async #save(): Promise<void> {
    await this.close()
    await this.#backup.save(this.#place)
    const restoreNumbers = this.#model.save()
    const { remakes } = this.#world
    this.#saved = { restoreNumbers, remakes }
    this.#reopenStorage()
  }

  /** Puts back what was saved of the target, or of the storage, unless the target is another one by now. */
  async #restore(what: 'rewind' | 'restore'): Promise<void> {
    if (this.#saved?.remakes !== this.#world.remakes) return
    await this.close()
    if (what === 'restore') {
      this.#place = { ...this.#place, storage: this.#place.storage + 1 }
      await this.#backup.restoreStorage(this.#place)
    }
    this.#reopenStorage()
    if (what === 'rewind') {
      if (await this.#backup.restoreTarget()) this.#saved.restoreNumbers()
      return
    }
    // A file is cut back to where the checkpoint in storage says; a table knows better.
    if (!isFile(this.#plan.write.kind) || !this.#model.keepsCheckpoint) return
    await this.#backup.restoreModel()
    this.#saved.restoreNumbers()
    this.#model.repeatDead()
  }

  async #loseStorage(): Promise<void> {
    await this.close()
    this.#place = { ...this.#place, storage: this.#place.storage + 1 }
    this.#storage = openStorage(this.#plan, this.#place)
  }

  /** Runs the job until nothing is left to read, or until it is refused for good. */
  async #runToEnd(waiting: (Fault | null)[]): Promise<End> {
    for (let run = 0; run < maxRuns; run++) {
      const fault = waiting.shift() ?? undefined
      const status = await this.#run(fault)
      if (!status) continue
      const messages = status.state === 'error' ? status.error.join(' | ') : ''
      if (bugs.test(messages)) return { problem: messages }
      if (status.state === 'successful' && (readsAll(this.#plan) || status.count === 0)) {
        const owed = (await this.#due()).find(({ isOptional }) => !isOptional)
        return owed ? { problem: `successful, and not refused with ${owed.message}` } : 'done'
      }
      if (status.state === 'successful' || fault) continue
      if (overload.test(messages) || (overtaken.test(messages) && !this.#wasOvertaken)) {
        this.#wasOvertaken ||= overtaken.test(messages)
        this.#faults.push('overload')
        continue
      }
      const due = (await this.#due()).find(({ message }) => message.test(messages))
      if (!due) return { problem: `without a fault: ${status.state} ${messages}` }
      this.#refusals.push(due.message.source)
      if (!due.cure) return 'refused'
      await due.cure()
    }
    return { problem: `not done after ${maxRuns} runs` }
  }

  /** The refusals that the job owes as source and target are. Any of them may come first. */
  async #due(): Promise<Due[]> {
    const { source, read } = this.#plan
    const { refusal } = this.#model
    if (refusal) return [{ message: refusal, cure: () => this.#empty() }]
    if (source.hasNulls && read.nulls === 'fail' && (await this.#world.has('changed_at is null'))) {
      return [{ message: /null/ }]
    }
    const due = await this.#duePoison()
    const tied = 'tie in (select tie from source group by tie having count(*) > 1)'
    if (read.way === 'cursor' && read.by === 'tie' && read.ties === 'refuse' && (await this.#world.has(tied))) {
      due.push({ message: /Several records have the same `tie`/ })
    }
    return due
  }

  async #duePoison(): Promise<Due[]> {
    const { poison, budget } = this.#plan.failures
    // A replacement meets foreign keys at its swap, where no record can be put aside.
    const isJudgedAtEnd = poison === 'foreign' && isReplace(this.#plan.write.kind)
    const isRefused = budget !== 'all' || isJudgedAtEnd
    if (poison === 'none' || !isRefused || !(await this.#world.has(`poison = 'x'`))) return []
    // Whether more are left than the budget allows, or any that are read, only the comparison tells.
    const message = budget === 'absent' || isJudgedAtEnd ? refusedBy[poison] : /Too many records failed/
    return [{ message, isOptional: true, cure: () => this.#world.heal() }]
  }

  /** The way out of a target that was reset: it is emptied, and its checkpoint with it. */
  async #empty(): Promise<void> {
    await this.#world.truncate()
    await this.#world.forget()
    if (isFile(this.#plan.write.kind)) await this.#loseStorage()
    await this.#model.empty()
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
    this.#faults.push(what)
    if (what === 'abort') await registry.abort('ingestion', jobId)
    else if (what === 'close') {
      await this.close()
      this.#reopenStorage()
    } else if (what === 'lock') await lock(this.#pool)
    else if (what === 'alter') await this.#world.alter()
    else await signal(this.#pool, what === 'cancel' ? 'pg_cancel_backend' : 'pg_terminate_backend')
  }

  async #runAndKill(after: number): Promise<EndedStatus | undefined> {
    await this.close()
    const status = await runAndKill(this.#plan, this.#place, after)
    if (!status) this.#faults.push('kill')
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
}

/** What a job says of a row that something refuses. */
const refusedBy: Record<Plan['failures']['poison'], RegExp> = {
  none: /never/,
  transform: /poison/,
  check: /violates check constraint/,
  type: /invalid input syntax for type integer/,
  foreign: /violates foreign key constraint/,
}
