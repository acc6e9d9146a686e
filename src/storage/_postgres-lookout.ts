import { createAbortController, type StorageChange, systemClock } from '../index.js'
import type { Database } from './_postgres-database.js'
import type { Ear, Listen } from './_postgres-ear.js'
import { messageOf, type Notifier } from './_postgres-notifier.js'
import { changeOf, toChange } from './_postgres-record.js'
import { type Names, now } from './_postgres-schema.js'

/** How often to look while notifications do not come, in milliseconds. */
const deafInterval = 100

/** How far a look reaches back before the last one, in milliseconds: for transactions that were slow to commit. */
const overlap = 2000

/** The same for the first look, whose statement may wait long for a connection, in milliseconds. */
const firstOverlap = 30_000

/** How long it may take to hear an own notification, in milliseconds, before the connection is taken for dead. */
const patience = 5000

/** The longest wait after failures, in milliseconds: it doubles up to here. */
const longestWait = 5000

/** What a lookout needs. */
export interface LookoutOptions {
  readonly database: Database
  readonly names: Names
  readonly notifier: Notifier
  /** The name of this storage in notifications. */
  readonly self: string
  readonly channel: string
  /** Begins to hear notifications, where that is possible. */
  readonly listen: Listen | undefined
  /** How often to look although notifications come, in milliseconds. */
  readonly interval: number
}

/**
 * Finds the changes of other processes: by notifications, and by looking, which finds whatever was not notified. That
 * notifications come is not believed but tried with own ones, as a connection may be dead, or lead through a proxy that
 * cannot listen; while none come, it looks often.
 */
export class Lookout {
  readonly #options: LookoutOptions
  readonly #look: string
  readonly #tell: (change: StorageChange) => void
  readonly #ignore: (change: StorageChange) => void
  readonly #stopping = createAbortController()
  readonly #ended: Promise<void>
  readonly #startedAt = performance.now()
  #wake: () => void = () => undefined
  /** The database's time of the last look. */
  #seen: string | undefined
  #ear: Ear | undefined
  #openedAt = 0
  #heardAt = -1
  #retryAt = 0
  #wait = 0

  /** Calls `tell` for each change, and `ignore` for what had changed before. */
  constructor(options: LookoutOptions, tell: (change: StorageChange) => void, ignore: (change: StorageChange) => void) {
    this.#options = options
    this.#ignore = ignore
    this.#look = lookIn(options.names)
    this.#tell = tell
    this.#ended = this.#run()
  }

  /** Looks no more, and closes the connection that hears. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    this.#wake()
    await this.#ended
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping
    let failures = 0
    while (!signal.aborted) {
      try {
        await this.#round()
        failures = 0
      } catch {
        // The database cannot be reached, or the schema not read: whoever asks the storage hears of it.
        failures++
      }
      const wait = failures > 0 ? Math.min(deafInterval * 2 ** failures, longestWait) : this.#interval
      if (!signal.aborted) await this.#sleep(wait)
    }
    await this.#closeEar()
  }

  async #round(): Promise<void> {
    const { interval, listen } = this.#options
    const now = performance.now()
    if (this.#ear && now - Math.max(this.#heardAt, this.#openedAt) > interval + patience) await this.#lose()
    if (listen && !this.#ear && now >= this.#retryAt) await this.#openEar(listen)
    // Whatever was notified before the ear was open is seen here.
    await this.#lookAround()
    // What another one sends, to be heard by itself, shows as well that notifications come.
    const isHeard = this.#isHearing && performance.now() - this.#heardAt < interval / 2
    if (this.#ear && !isHeard) void this.#options.notifier.probe()
  }

  get #interval(): number {
    const { interval } = this.#options
    return this.#isHearing ? interval : Math.min(interval, deafInterval)
  }

  get #isHearing(): boolean {
    return this.#ear !== undefined && this.#heardAt >= this.#openedAt
  }

  async #openEar(listen: Listen): Promise<void> {
    const { channel } = this.#options
    const { signal } = this.#stopping
    let ear: Ear | undefined
    const broken = () => {
      if (this.#ear === ear) void this.#lose()
    }
    let stop = () => {}
    const stopped = new Promise<undefined>((resolve) => {
      stop = () => resolve(undefined)
      signal.addEventListener('abort', stop)
    })
    const opening = listen(channel, (payload) => this.#hear(payload), broken)
    try {
      ear = await Promise.race([opening, stopped])
      this.#ear = ear
      this.#openedAt = performance.now()
    } catch {
      await this.#lose()
    } finally {
      signal.removeEventListener('abort', stop)
    }
    if (!ear) opening.then((late) => late.close()).catch(() => undefined)
  }

  /** Without the ear now. The first try to open it again comes at once, others later and later. */
  async #lose(): Promise<void> {
    this.#retryAt = performance.now() + this.#wait
    this.#wait = Math.min(Math.max(this.#wait * 2, deafInterval), longestWait)
    await this.#closeEar()
    this.#wake()
  }

  async #closeEar(): Promise<void> {
    const ear = this.#ear
    this.#ear = undefined
    await ear?.close().catch(() => undefined)
  }

  #hear(payload: string): void {
    const message = messageOf(payload)
    if (!message) return
    this.#heardAt = performance.now()
    this.#wait = 0
    if (message.from !== this.#options.self) for (const change of message.changes) this.#tell(change)
  }

  async #lookAround(): Promise<void> {
    const isFirst = this.#seen === undefined
    const back = isFirst ? firstOverlap : overlap
    const rows = await this.#options.database.query(this.#look, [this.#seen, this.#age, back])
    const now = rows[0]?.now
    // What was there before anyone listened is no news, also when a later look reaches back to it.
    const beginning = isFirst ? Number(now) - this.#age : Number.NEGATIVE_INFINITY
    for (const row of rows) {
      if (row.uuid && Number(row.at) < beginning) this.#ignore(toChange(row))
      else if (row.uuid) this.#tell(toChange(row))
    }
    this.#seen = now ?? this.#seen
  }

  /** How long ago the first listener came, in milliseconds. */
  get #age(): number {
    return Math.ceil(performance.now() - this.#startedAt)
  }

  async #sleep(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = systemClock.setTimer(ms, resolve, { background: true })
      this.#wake = () => {
        timer.cancel()
        resolve()
      }
    })
  }
}

/** What tells a change from others. */
export function keyOf({ executionId, state }: StorageChange): string {
  return `${executionId} ${state}`
}

/**
 * Gives the executions that changed since the last look, or since so many milliseconds, and the database's time. A clock
 * that was put back does not hide what came after.
 */
export function lookIn({ job, log }: Names): string {
  return `with span as materialized (
      select clock.now, least(coalesce($1::text::int8, clock.now - $2::text::int8), clock.now) - $3::text::int8 as since
      from (select ${now} as now) clock
    )
    select span.now::text as now, changed.* from span left join (
      select ${changeOf('job')}, job.changed_at::text as at from ${job} where ${since('changed_at')}
      union
      select ${changeOf('log')}, log.end_time::text as at from ${log} where ${since('end_time')}
    ) changed on true`
}

/** The upper bound leaves nothing out: it tells the planner to expect few rows, and so to read the index. */
function since(time: string): string {
  return `${time} > (select since from span) and ${time} < ${2n ** 63n - 1n}`
}
