import { EventEmitter } from 'eventemitter3'
import { Follower, type FollowerHost } from './_follower.js'
import { Poller } from './_poller.js'
import { retry } from './_retry.js'
import { findEnded, stored } from './_stored.js'
import { sleep, withTimeout } from './clock.js'
import { errorMessages } from './errors.js'
import { jobKey } from './ids.js'
import { isEnded } from './lifecycle.js'
import { warnOf } from './logger.js'
import type { ExecutionRecord, StorageChange } from './storage.js'

/** What a {@link Cluster} needs of the registry. */
export interface ClusterHost extends FollowerHost {
  /** Aborts when the registry is closed. */
  readonly abandoned: AbortSignal
  /** How long a lease holds, in milliseconds. */
  readonly lease: number
  /** Storage told that an execution was asked to stop, or ended: it may be one of this node. */
  look(change: StorageChange): void
  /** Goes on with an orphan, if this node may. */
  takeOver(orphan: ExecutionRecord): Promise<void>
}

/** Orphans are looked for this many times within a lease. */
const looks = 3

/** How often to look whether a job of another node has ended, in milliseconds: seldom where storage tells of it. */
const lookInterval = { watched: 1000, unwatched: 100 }

/** The most that this grows to, of a job that may take its time: there may be thousands to look for. */
const longestLookInterval = { watched: 30_000, unwatched: 1000 }

/** What happens on the other nodes that share the storage. */
export class Cluster {
  readonly #host: ClusterHost
  readonly #changes = new EventEmitter<Record<string, []>>()
  readonly #recovery: Poller
  readonly #follower: Follower
  readonly #unwatch: (() => void) | undefined

  constructor(host: ClusterHost) {
    const { storage, clock, lease, logger } = host
    this.#host = host
    this.#follower = new Follower(host)
    this.#recovery = new Poller({
      clock,
      interval: lease / looks,
      look: () => this.#recover(),
      failed: (error) => logger.warn({ error: errorMessages(error) }, 'Could not look for orphans.'),
    })
    this.#unwatch = storage.watch?.((change) => this.#hear(change))
  }

  /** Whether storage tells of changes, so that other nodes can be followed. */
  get isWatched(): boolean {
    return this.#unwatch !== undefined
  }

  /** Looks for orphans from now on. */
  recover(): void {
    this.#recovery.start()
  }

  /** Tells of the executions of other nodes from now on. */
  follow(): void {
    this.#follower.start()
  }

  /** This node has told of an execution itself. */
  own(record: ExecutionRecord): void {
    this.#follower.own(record)
  }

  /** Waits until an execution of another node has ended. Gives it, or `undefined` when `timeout` milliseconds have passed. */
  async ended(
    record: Pick<ExecutionRecord, 'type' | 'id' | 'executionId'>,
    timeout: number,
    interval = this.#of(lookInterval),
  ): Promise<ExecutionRecord | undefined> {
    const { storage, clock, abandoned } = this.#host
    const key = jobKey(record)
    let woken = new AbortController()
    const wake = () => woken.abort()
    this.#changes.on(key, wake)
    abandoned.addEventListener('abort', wake)
    try {
      const end = clock.now() + timeout
      for (let left = timeout; left > 0 && !abandoned.aborted; left = end - clock.now()) {
        await sleep(clock, Math.min(left, interval), woken.signal)
        // What changes while storage is asked is looked at next.
        woken = new AbortController()
        const found = await stored(withTimeout(clock, Math.max(1, end - clock.now()), findEnded(storage, record)))
        if (found) return found
      }
      return undefined
    } finally {
      this.#changes.off(key, wake)
      abandoned.removeEventListener('abort', wake)
    }
  }

  /** Waits until an execution has ended, however long that takes: for ever, once the registry is closed. */
  async end(record: Pick<ExecutionRecord, 'type' | 'id' | 'executionId'>): Promise<ExecutionRecord> {
    const { clock, lease, abandoned, logger } = this.#host
    const failed = (error: unknown) => warnOf(logger, record, error, 'could not be looked at')
    const options = { clock, lease, abandoned, failed }
    const longest = this.#of(longestLookInterval)
    for (let pause = this.#of(lookInterval); !abandoned.aborted; pause = Math.min(2 * pause, longest)) {
      const interval = pause
      const found = await retry(() => this.ended(record, interval, interval), options)
      if (found) return found
    }
    return new Promise(() => {})
  }

  /** Hears and looks no more. */
  stop(): void {
    this.#unwatch?.()
    this.#recovery.stop()
    this.#follower.stop()
  }

  #hear(change: StorageChange): void {
    const { state } = change
    this.#changes.emit(jobKey(change))
    if (state === 'aborting' || isEnded(state)) this.#host.look(change)
    // What ended for want of its node can be gone on with at once.
    if (state === 'error' || state === 'aborted') this.#recovery.nudge()
    this.#follower.hear(change)
  }

  #of(interval: { watched: number; unwatched: number }): number {
    return this.isWatched ? interval.watched : interval.unwatched
  }

  async #recover(): Promise<void> {
    for (const orphan of await this.#host.storage.orphans()) await this.#host.takeOver(orphan)
  }
}
