import { Ends, type ExecutionKey } from './_ends.js'
import { Follower, type FollowerHost } from './_follower.js'
import { Poller } from './_poller.js'
import type { Timer } from './clock.js'
import { errorMessages } from './errors.js'
import { jobKey } from './ids.js'
import { isEnded } from './lifecycle.js'
import type { ExecutionRecord, StorageChange } from './storage.js'

/** What a {@link Cluster} needs of the registry. */
export interface ClusterHost extends FollowerHost {
  /** How long a lease holds, in milliseconds. */
  readonly lease: number
  /** Whether this node runs the execution, or is about to. */
  isOwn(execution: ExecutionKey): boolean
  /** Storage told that an execution was asked to stop, or ended: it may be one of this node. */
  look(change: StorageChange): void
  /** Whether the job is one that goes on by itself, and known here. */
  goesOn(job: Pick<ExecutionRecord, 'type' | 'id'>): boolean
  /** Goes on with an orphan, if this node may. */
  takeOver(orphan: ExecutionRecord): Promise<void>
}

/** Orphans are looked for this many times within a lease. */
const looks = 3

/** How long a node waits before it looks for an orphan that it was told of: at random up to this part of a lease. */
const spread = 1 / 30

/** How often to look for ends where storage does not tell of changes, in milliseconds. */
const unwatchedInterval = 100

/** What happens on the other nodes that share the storage. */
export class Cluster {
  readonly #host: ClusterHost
  readonly #recovery: Poller
  /** The jobs that ended, as storage told, for want of their node perhaps, and did not go on since. */
  readonly #stopped = new Set<string>()
  #recoverySoon: Timer | undefined
  readonly #follower: Follower
  readonly #ends: Ends
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
    this.#ends = new Ends({ ...host, interval: storage.watch ? lease / looks : unwatchedInterval })
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
    this.#ends.own(record)
  }

  /** Resolves with an execution that is new when it has ended, wherever it runs: never, once the registry is closed. */
  expectEnd(execution: ExecutionKey): Promise<ExecutionRecord> {
    return this.#ends.expect(execution)
  }

  /** Resolves with an execution as soon as it has ended, wherever it runs: never, once the registry is closed. */
  ended(execution: ExecutionKey): Promise<ExecutionRecord> {
    return this.#ends.of(execution)
  }

  /** Hears and looks no more. */
  stop(): void {
    this.#unwatch?.()
    this.#recovery.stop()
    this.#recoverySoon?.cancel()
    this.#follower.stop()
    this.#ends.stop()
  }

  #hear(change: StorageChange): void {
    const { state } = change
    this.#ends.hear(change)
    if (state === 'aborting' || isEnded(state)) this.#host.look(change)
    // What ended for want of its node can be gone on with soon.
    if (state !== 'error' && state !== 'aborted') this.#stopped.delete(jobKey(change))
    else if (this.#host.goesOn(change)) this.#recoverSoon(jobKey(change))
    this.#follower.hear(change)
  }

  /** All nodes are told at one time: those that wait longest hear that another one went on, and need not look. */
  #recoverSoon(key: string): void {
    const { clock, lease } = this.#host
    const look = () => {
      this.#recoverySoon = undefined
      if (this.#stopped.size > 0) this.#recovery.nudge()
    }
    this.#stopped.add(key)
    this.#recoverySoon ??= clock.setTimer(Math.random() * lease * spread, look, { background: true })
  }

  async #recover(): Promise<void> {
    this.#stopped.clear()
    const orphans = await this.#host.storage.orphans()
    for (const orphan of orphans) this.#stopped.add(jobKey(orphan))
    // What another node has gone on with meanwhile is left out.
    for (const orphan of orphans) if (this.#stopped.delete(jobKey(orphan))) await this.#host.takeOver(orphan)
  }
}
