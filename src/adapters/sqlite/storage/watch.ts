import type { Clock, StorageChange, Timer } from '../../../adapter.js'
import type { Connection, SqliteRow } from './connection.js'
import type { SqliteAccess } from './database.js'
import { isNumbered } from './job-table.js'
import { changeOf, selectedOfChange } from './rows.js'

/** Changes of state are numbered over both tables. An execution may be in both, with one number. */
const changesAfter = `select ${selectedOfChange} from headgate_job where changed > ? and ${isNumbered}
  union select ${selectedOfChange} from headgate_log where changed > ? and ${isNumbered} order by changed`

/** The executions that may have changed since a time. An abort request has no time. */
const changesSince = `select ${selectedOfChange} from headgate_job
  where (start_time >= ? or end_time >= ? or state = 'aborting') and ${isNumbered}
  union select ${selectedOfChange} from headgate_log where end_time >= ? and ${isNumbered} order by changed`

/** Emits changes of state to listeners: own changes at once, those of other connections by polling. */
export class Watcher {
  readonly #access: SqliteAccess
  readonly #clock: Clock
  readonly #interval: number
  readonly #listeners = new Set<(change: StorageChange) => void>()
  #timer: Timer | undefined
  /** When the first listener was added. */
  #since = 0
  /** The number of the last emitted change; `undefined` before the first poll. */
  #lastEmitted: number | undefined

  constructor(access: SqliteAccess, clock: Clock, interval: number) {
    this.#access = access
    this.#clock = clock
    this.#interval = interval
  }

  add(listener: (change: StorageChange) => void): () => void {
    const entry = (change: StorageChange) => listener(change)
    this.#listeners.add(entry)
    if (this.#listeners.size === 1) this.#start()
    return () => {
      this.#listeners.delete(entry)
      if (this.#listeners.size === 0) this.#stop()
    }
  }

  /**
   * Emits the changes since the last call. Never throws, because the change is already stored; the next poll emits
   * it.
   */
  emit(connection: Connection): boolean {
    try {
      this.#emit(connection)
      return true
    } catch {
      return false
    }
  }

  close(): void {
    this.#listeners.clear()
    this.#stop()
  }

  #emit(connection: Connection): void {
    if (this.#listeners.size === 0) return
    for (const row of this.#changes(connection)) {
      this.#lastEmitted = Math.max(this.#lastEmitted ?? 0, Number(row.changed))
      const change = changeOf(row)
      for (const listener of this.#listeners) notify(listener, change)
    }
  }

  #changes(connection: Connection): SqliteRow[] {
    if (this.#lastEmitted !== undefined) return connection.all(changesAfter, this.#lastEmitted, this.#lastEmitted)
    this.#lastEmitted = connection.number(`select max(changed) n from headgate_job where ${isNumbered}`)
    return connection.all(changesSince, this.#since, this.#since, this.#since)
  }

  #start(): void {
    this.#since = this.#clock.now()
    void this.#poll()
  }

  #stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#lastEmitted = undefined
  }

  async #poll(): Promise<void> {
    // Calls of the storage report why it cannot be opened. The next poll may succeed.
    await this.#access.poll((connection) => this.emit(connection)).catch(() => false)
    if (this.#listeners.size === 0) return
    this.#timer?.cancel()
    this.#timer = this.#clock.setTimer(this.#interval, () => void this.#poll(), { background: true })
  }
}

/** Calls a listener. Returns whether it succeeded: a listener that throws must not affect the others. */
function notify(listener: (change: StorageChange) => void, change: StorageChange): boolean {
  try {
    listener(change)
    return true
  } catch {
    return false
  }
}
