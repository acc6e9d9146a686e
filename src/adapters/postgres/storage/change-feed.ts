import { createAbortController, type StorageChange, systemClock } from '../../../adapter.js'
import type { Database } from './database.js'
import type { Listen, Subscription } from './listen.js'
import { type Names, now } from './migrations.js'
import { NotificationQueue } from './notification-queue.js'
import { messageOf, type Notifier } from './notifier.js'
import { changeOf, toChange } from './rows.js'

/** How often to poll while notifications do not arrive, in milliseconds. */
const unverifiedInterval = 100

/** How far a poll reaches back before the last one, in milliseconds: for transactions that committed late. */
const overlap = 2000

/** The same for the first poll, whose statement may wait long for a connection, in milliseconds. */
const firstOverlap = 30_000

/** How long an own notification may take to arrive before the connection counts as dead, in milliseconds. */
const verifyTimeout = 5000

/** The longest wait after failures, in milliseconds. Waits double up to this. */
const longestWait = 5000

/** The options of a {@link ChangeFeed}. */
export interface ChangeFeedOptions {
  readonly database: Database
  readonly names: Names
  readonly notifier: Notifier
  /** The sender name of this storage in notifications. */
  readonly self: string
  readonly channel: string
  /** Subscribes to notifications, if the client supports it. */
  readonly listen: Listen | undefined
  /** How often to poll while notifications arrive, in milliseconds. */
  readonly interval: number
}

/** How the feed learns of changes. It polls in every state. */
type State =
  /** No subscription. The next attempt comes at `retryAt`, if the client supports it. */
  | { readonly name: 'polling'; readonly retryAt: number }
  /** A subscription is being opened. */
  | { readonly name: 'connecting' }
  /** The subscription was opened at `since`. No notification has arrived yet. */
  | { readonly name: 'listening'; readonly subscription: Subscription; readonly since: number }
  /** Notifications arrive, the last one at `since`. */
  | { readonly name: 'verified'; readonly subscription: Subscription; readonly since: number }

/**
 * Finds the changes of other processes by notifications and by polling, which finds changes that were not notified. A
 * connection may be dead, or lead through a proxy that cannot listen, so the feed verifies the subscription with
 * notifications of its own. While none arrive, it polls often.
 */
export class ChangeFeed {
  readonly #options: ChangeFeedOptions
  readonly #poll: string
  readonly #emit: (change: StorageChange) => void
  readonly #ignore: (change: StorageChange) => void
  readonly #stopping = createAbortController()
  readonly #ended: Promise<void>
  readonly #startedAt = performance.now()
  readonly #notifications = new NotificationQueue(
    (payload) => this.#handleNotification(payload),
    () => this.#wake(),
  )
  #wake: () => void = () => undefined
  /** The database's time of the last poll. */
  #seen: string | undefined
  #state: State = { name: 'polling', retryAt: 0 }
  /** How long after a loss the next subscription is tried, in milliseconds. */
  #retryDelay = 0

  /** Calls `emit` for each change, and `ignore` for changes from before the feed started. */
  constructor(
    options: ChangeFeedOptions,
    emit: (change: StorageChange) => void,
    ignore: (change: StorageChange) => void,
  ) {
    this.#options = options
    this.#ignore = ignore
    this.#poll = changesQuery(options.names)
    this.#emit = emit
    this.#ended = this.#run()
  }

  /** Stops polling and closes the subscription. */
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
        await this.#pollOnce()
        failures = 0
      } catch {
        // The database cannot be reached or the schema not read. Calls of the storage report that.
        failures++
      }
      const wait = failures > 0 ? Math.min(unverifiedInterval * 2 ** failures, longestWait) : this.#interval
      if (!signal.aborted) await this.#sleep(wait)
    }
    await this.#unsubscribe(Number.POSITIVE_INFINITY)
  }

  async #pollOnce(): Promise<void> {
    const { interval, listen } = this.#options
    const now = performance.now()
    if (this.#silence(now) > interval + verifyTimeout) await this.#lose()
    if (listen && this.#isRetryDue(now)) await this.#subscribe(listen)
    // The poll finds changes that were notified before the subscription was open.
    await this.#pollAll()
    // Notifications that other processes send to verify their subscription verify this one too.
    const isDoubtful = this.#state.name === 'listening' || this.#silence(performance.now()) >= interval / 2
    if (isDoubtful) void this.#options.notifier.probe()
  }

  get #interval(): number {
    const { interval } = this.#options
    return this.#state.name === 'verified' ? interval : Math.min(interval, unverifiedInterval)
  }

  get #subscription(): Subscription | undefined {
    return 'subscription' in this.#state ? this.#state.subscription : undefined
  }

  /** How long a subscription has been silent, in milliseconds. Without one, nothing is expected. */
  #silence(now: number): number {
    return 'since' in this.#state ? now - this.#state.since : Number.NEGATIVE_INFINITY
  }

  #isRetryDue(now: number): boolean {
    return this.#state.name === 'polling' && now >= this.#state.retryAt
  }

  async #subscribe(listen: Listen): Promise<void> {
    const { channel } = this.#options
    const { signal } = this.#stopping
    this.#state = { name: 'connecting' }
    let subscription: Subscription | undefined
    const onBroken = () => {
      if (this.#subscription === subscription) void this.#lose()
    }
    let stop = () => {}
    const stopped = new Promise<undefined>((resolve) => {
      stop = () => resolve(undefined)
      signal.addEventListener('abort', stop)
    })
    const opening = listen(channel, (payload) => this.#notifications.add(payload), onBroken)
    try {
      subscription = await Promise.race([opening, stopped])
      const now = performance.now()
      this.#state = subscription ? { name: 'listening', subscription, since: now } : { name: 'polling', retryAt: now }
    } catch {
      await this.#lose()
    } finally {
      signal.removeEventListener('abort', stop)
    }
    if (!subscription) opening.then((late) => late.close()).catch(() => undefined)
  }

  /** Ends the subscription. The first attempt to subscribe again comes at once, later ones after longer waits. */
  async #lose(): Promise<void> {
    const retryAt = performance.now() + this.#retryDelay
    this.#retryDelay = Math.min(Math.max(this.#retryDelay * 2, unverifiedInterval), longestWait)
    await this.#unsubscribe(retryAt)
    this.#wake()
  }

  async #unsubscribe(retryAt: number): Promise<void> {
    const subscription = this.#subscription
    this.#state = { name: 'polling', retryAt }
    await subscription?.close().catch(() => undefined)
  }

  #handleNotification(payload: string): void {
    const message = messageOf(payload)
    if (!message) return
    const subscription = this.#subscription
    if (subscription) this.#state = { name: 'verified', subscription, since: performance.now() }
    this.#retryDelay = 0
    if (message.from !== this.#options.self) for (const change of message.changes) this.#emit(change)
  }

  async #pollAll(): Promise<void> {
    const isFirst = this.#seen === undefined
    const lookback = isFirst ? firstOverlap : overlap
    const rows = await this.#options.database.query(this.#poll, [this.#seen, this.#age, lookback])
    const now = rows[0]?.now
    // Changes from before the first listener are not reported, also when a later poll reaches back to them.
    const beginning = isFirst ? Number(now) - this.#age : Number.NEGATIVE_INFINITY
    for (const row of rows) {
      if (row.uuid && Number(row.at) < beginning) this.#ignore(toChange(row))
      else if (row.uuid) this.#emit(toChange(row))
    }
    this.#seen = now ?? this.#seen
  }

  /** The time since the first listener was added, in milliseconds. */
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

/** Identifies a change. */
export function keyOf({ executionId, state }: StorageChange): string {
  return `${executionId} ${state}`
}

/**
 * The statement that returns the executions that changed since the last poll, or within so many milliseconds, and the
 * time of the database. It also finds changes after the clock was set back.
 */
export function changesQuery({ job, log }: Names): string {
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

/** The upper bound excludes nothing. It makes the planner expect few rows, so that it uses the index. */
function since(time: string): string {
  return `${time} > (select since from span) and ${time} < ${2n ** 63n - 1n}`
}
