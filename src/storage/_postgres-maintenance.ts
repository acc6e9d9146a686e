import { systemClock, type Timer } from '../index.js'
import type { Database, Value } from './_postgres-database.js'
import { type Names, now } from './_postgres-schema.js'

/** How much of the log is kept. */
export interface Retention {
  /** The most executions. */
  readonly maxCount: number
  /** How long, in milliseconds from their end. */
  readonly maxAge: number | undefined
}

/** How long after an execution ended the house is kept, in milliseconds: for all that end meanwhile. */
const delay = 1000

/** How many rows of the log one statement takes out. */
const logStep = 1000

/** How many rows of the tally one statement adds up. */
const tallyStep = 10_000

/** How many rows the tally may have beyond those that it needs. */
const spareRows = 500

/** Lets go of what is too old in the log, and adds up what the tally counted: in small steps, away from all that waits. */
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

  /** Keeps the house soon. */
  schedule(): void {
    if (this.#isClosed) return
    this.#timer ??= systemClock.setTimer(delay, () => this.#start(), { background: true })
  }

  /** Ends what is under way, and starts nothing more. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#timer?.cancel()
    await this.#running
  }

  #start(): void {
    // What fails is tried again after the next execution.
    const running = this.#run().catch(() => true)
    this.#running = running
    void running.then((isDone) => {
      this.#timer = undefined
      if (!isDone) this.schedule()
    })
  }

  /** Whether there is nothing more to do: not when another process was at it, which may keep more of the log. */
  async #run(): Promise<boolean> {
    const { maxCount, maxAge } = this.#retention
    if (!(await this.#repeat(this.#steps.retain, [maxCount, maxAge], logStep))) return false
    for (const { hour } of await this.#database.query(this.#steps.spare)) {
      if (!(await this.#repeat(this.#steps.addUp, [hour], tallyStep))) return false
    }
    return true
  }

  /** Repeats a step as long as it takes all that it can, so that there may be more. Whether it came to an end. */
  async #repeat(step: string, values: readonly Value[], most: number): Promise<boolean> {
    while (!this.#isClosed) {
      const [row] = await this.#database.query(step, values)
      if (row?.is_held !== 'true') return false
      if (Number(row.taken) < most) return true
    }
    return false
  }
}

/** One process at a time: the others have nothing to do then. */
function lock({ literal }: Names): string {
  return `lock as materialized (select pg_try_advisory_xact_lock(hashtextextended('headgate housekeeping ' || ${literal}, 0)) as is_held)`
}

/**
 * The oldest ends go first. How many are too many, and which ones, is of one view of the log: two who see the same take the
 * same ones out, and never more.
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

/** The hours to add up: none while all of them have few rows to spare. */
function spare({ tally }: Names): string {
  return `with parts as (
      select hour, count(*) - 1 as spare, sum(n) as n from ${tally} group by hour, type, state
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
      insert into ${tally} (hour, type, state, n, first_time)
      select hour, type, state, sum(n), min(first_time) from taken group by hour, type, state having sum(n) <> 0
    )
    select (select is_held from lock)::text as is_held, count(*)::text as taken from taken`
}
