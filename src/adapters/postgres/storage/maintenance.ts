import { systemClock, type Timer } from '../../../adapter.js'
import type { Database, Value } from './database.js'
import { type Names, now } from './migrations.js'

/** The limits of the log. */
export interface Retention {
  /** The maximum number of executions. */
  readonly maxCount: number
  /** How long an execution is kept, in milliseconds from its end. */
  readonly maxAge: number | undefined
}

/** How long after an execution ended maintenance runs, in milliseconds. One run covers all that end in that time. */
const delay = 1000

/** How many rows of the log one statement deletes. */
const logStep = 1000

/** How many rows of the tally one statement sums up. */
const tallyStep = 10_000

/** How many rows the tally may have in addition to those that it needs. */
const spareRows = 500

/** Deletes old executions from the log and compacts the tally, in small steps that block nothing. */
export class Maintenance {
  readonly #database: Database
  readonly #steps: { readonly retain: string; readonly spare: string; readonly addUp: string }
  readonly #retention: Retention
  #timer: Timer | undefined
  #running: Promise<unknown> | undefined
  #isClosed = false

  constructor(database: Database, names: Names, retention: Retention) {
    this.#database = database
    this.#retention = retention
    this.#steps = { retain: retain(names), spare: spare(names), addUp: addUp(names) }
  }

  /** Schedules a run. */
  schedule(): void {
    if (this.#isClosed) return
    this.#timer ??= systemClock.setTimer(delay, () => this.#start(), { background: true })
  }

  /** Waits for the current run and starts no more. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#timer?.cancel()
    await this.#running
  }

  #start(): void {
    // A failed run is repeated after the next execution.
    const running = this.#run().catch(() => true)
    this.#running = running
    void running.then((isDone) => {
      this.#timer = undefined
      if (!isDone) this.schedule()
    })
  }

  /**
   * Returns whether everything is done. Not so when another process held the lock, because its limits may be higher.
   */
  async #run(): Promise<boolean> {
    const { maxCount, maxAge } = this.#retention
    if (!(await this.#repeat(this.#steps.retain, [maxCount, maxAge], logStep))) return false
    for (const { hour } of await this.#database.query(this.#steps.spare)) {
      if (!(await this.#repeat(this.#steps.addUp, [hour], tallyStep))) return false
    }
    return true
  }

  /** Repeats a step while it affects as many rows as it may. Returns whether it finished. */
  async #repeat(step: string, values: readonly Value[], most: number): Promise<boolean> {
    while (!this.#isClosed) {
      const [row] = await this.#database.query(step, values)
      if (row?.is_held !== 'true') return false
      if (Number(row.taken) < most) return true
    }
    return false
  }
}

/** Lets one process run at a time. The others have nothing to do then. */
function lock({ literal }: Names): string {
  return `lock as materialized (select pg_try_advisory_xact_lock(hashtextextended('headgate housekeeping ' || ${literal}, 0)) as is_held)`
}

/**
 * Deletes the oldest executions first. One view of the log decides how many and which, so two processes with the same
 * view delete the same rows and never too many.
 */
function retain(names: Names): string {
  const { log, tally } = names
  const oldest = `select uuid from ${log} where (select is_held from lock)`
  return `with ${lock(names)},
    old as materialized (
      (${oldest} order by end_time, uuid
        limit (select least(greatest(coalesce(sum(n), 0) - $1::text::int8, 0), ${logStep}) from ${tally}))
      union
      (${oldest} and end_time < ${now} - $2::text::int8 order by end_time, uuid limit ${logStep})
    ),
    gone as (delete from ${log} using old where log.uuid = old.uuid returning 1)
    select (select is_held from lock)::text as is_held, count(*)::text as taken from gone`
}

/** The hours to compact, if there are enough spare rows. */
function spare({ tally }: Names): string {
  return `with parts as (
      select hour, count(*) - 1 as spare, sum(n) as n from ${tally} group by hour, type, state, is_partition
    ),
    hours as (select hour, sum(spare) as spare, bool_or(n = 0) as has_empty from parts group by hour)
    select hour::text from hours
    where (spare > 0 or has_empty) and (select sum(spare) from hours) > ${spareRows} order by hour`
}

function addUp(names: Names): string {
  const { tally } = names
  return `with ${lock(names)},
    taken as (
      delete from ${tally} where ctid = any (array(
        select ctid from ${tally} where hour = $1::text::int8 and (select is_held from lock) limit ${tallyStep}
      )) returning *
    ),
    added as (
      insert into ${tally} (hour, type, state, is_partition, n, first_time)
      select hour, type, state, is_partition, sum(n), min(first_time) from taken group by 1, 2, 3, 4 having sum(n) <> 0
    )
    select (select is_held from lock)::text as is_held, count(*)::text as taken from taken`
}
