import { type Clock, JobRegistry, type JobStorage } from 'headgate'
import type { ExecutionRecord, StorageChange, Timer } from 'headgate/adapter'
import type { SharedLine } from './scale-line.js'

/** What a node asks of the world that it is in. */
export interface NodeHost {
  readonly clock: Clock
  readonly storage: JobStorage
  readonly line: SharedLine
  /** From 0 up to 1. */
  random(): number
  /** A call reaches storage. */
  called(method: keyof JobStorage, node: SimulatedNode): void
  /** Storage holds an execution under a lease of a node. */
  held(record: ExecutionRecord | undefined): void
}

/** How a node is: one that is cut off does not reach storage, one that is frozen does nothing, one that is dead never again. */
export type Health = 'well' | 'cut' | 'frozen' | 'dead'

/** What tells one node from another. */
export interface NodeOptions {
  readonly lease: number
  readonly concurrency: number
  /** How much its clock is off, in milliseconds. */
  readonly offset: number
  /** Whether storage tells it of changes. */
  readonly isListening: boolean
}

/** A process with one registry: it has its own clock, and its own way to storage. */
export class SimulatedNode {
  readonly name: string
  readonly registry: JobRegistry
  readonly isListening: boolean
  /** Its clock, and whether it was ever put back: until it notices, it may believe in a lease for too long. */
  readonly clock: Clock
  hasTurnedBack = false
  health: Health = 'well'
  readonly #host: NodeHost
  #offset: number
  /** What was to happen while it was frozen. */
  #held: (() => void)[] = []
  #hear: ((change: StorageChange) => void) | undefined

  constructor(name: string, host: NodeHost, options: NodeOptions) {
    const { lease, concurrency, offset, isListening } = options
    this.isListening = isListening
    this.name = name
    this.#host = host
    this.#offset = offset
    this.clock = {
      now: () => host.clock.now() + this.#offset,
      setTimer: (delay, callback) => this.#setTimer(delay, callback),
    }
    const dispatcher = host.line.dispatcherFor(this)
    const storage = this.#view(host.storage)
    this.registry = new JobRegistry({ node: name, storage, dispatcher, clock: this.clock, lease, concurrency })
  }

  /** Storage told of a change. */
  hear(change: StorageChange): void {
    if (this.health === 'well') this.#hear?.(change)
  }

  /** Puts its clock on, or back. */
  jump(ms: number): void {
    this.#offset += ms
    if (ms < 0) this.hasTurnedBack = true
  }

  recover(): void {
    if (this.health === 'dead') return
    this.health = 'well'
    const held = this.#held
    this.#held = []
    for (const happen of held) happen()
  }

  #setTimer(delay: number, callback: () => void): Timer {
    return this.#host.clock.setTimer(delay, () => this.#happen(callback))
  }

  #happen(callback: () => void): void {
    if (this.health === 'frozen') this.#held.push(callback)
    else if (this.health !== 'dead') callback()
  }

  #view(storage: JobStorage): JobStorage {
    const heldOf = (record: ExecutionRecord | undefined) => this.#host.held(record)
    const begun = (asked: ReturnType<JobStorage['begin']>) =>
      asked.then(({ started, execution }) => started && heldOf(execution))
    return {
      begin: (request) => this.#ask('begin', () => storage.begin(request), begun),
      renew: (lease, request) =>
        this.#ask(
          'renew',
          () => storage.renew(lease, request),
          (asked) => asked.then(heldOf),
        ),
      claim: (waiting, request) =>
        this.#ask(
          'claim',
          () => storage.claim(waiting, request),
          (asked) => asked.then(heldOf),
        ),
      run: (lease) =>
        this.#ask(
          'run',
          () => storage.run(lease),
          (asked) => asked.then(heldOf),
        ),
      finish: (lease, request) => this.#ask('finish', () => storage.finish(lease, request)),
      requestAbort: (request) => this.#ask('requestAbort', () => storage.requestAbort(request)),
      find: (type, id) => this.#ask('find', () => storage.find(type, id)),
      live: (filter) => this.#ask('live', () => storage.live(filter)),
      orphans: (page) => this.#ask('orphans', () => storage.orphans(page)),
      search: (filter) => this.#ask('search', () => storage.search(filter)),
      ...(this.isListening && { watch: (listener) => this.#listen(listener) }),
    }
  }

  #listen(listener: (change: StorageChange) => void): () => void {
    this.#hear = listener
    return () => {
      this.#hear = undefined
    }
  }

  /** A call of a node that is not well may get through, and its answer never does. */
  #ask<Answer>(
    method: keyof JobStorage,
    ask: () => Promise<Answer>,
    see?: (asked: Promise<Answer>) => unknown,
  ): Promise<Answer> {
    const isWell = this.health === 'well'
    if (!isWell && this.#host.random() < 0.5) return this.#lost()
    this.#host.called(method, this)
    const asked = ask()
    void see?.(asked)
    return isWell ? asked : this.#lost()
  }

  #lost<Answer>(): Promise<Answer> {
    if (this.#host.random() < 0.5) return Promise.reject(new Error('The storage cannot be reached.'))
    return new Promise(() => {})
  }
}
