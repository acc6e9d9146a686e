import { Ends, type ExecutionKey } from './_ends.js'
import { Follower, type FollowerHost } from './_follower.js'
import { Poller } from './_poller.js'
import { errorMessages } from './errors.js'
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
  /** Goes on with an orphan, if this node may. */
  takeOver(orphan: ExecutionRecord): Promise<void>
}

/** Orphans are looked for this many times within a lease. */
const looks = 3

/** How often to look for ends where storage does not tell of changes, in milliseconds. */
const unwatchedInterval = 100

/** What happens on the other nodes that share the storage. */
export class Cluster {
  readonly #host: ClusterHost
  readonly #recovery: Poller
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
    this.#follower.stop()
    this.#ends.stop()
  }

  #hear(change: StorageChange): void {
    const { state } = change
    this.#ends.hear(change)
    if (state === 'aborting' || isEnded(state)) this.#host.look(change)
    // What ended for want of its node can be gone on with at once.
    if (state === 'error' || state === 'aborted') this.#recovery.nudge()
    this.#follower.hear(change)
  }

  async #recover(): Promise<void> {
    for (const orphan of await this.#host.storage.orphans()) await this.#host.takeOver(orphan)
  }
}
