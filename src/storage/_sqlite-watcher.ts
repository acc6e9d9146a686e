import type { Clock, StorageChange, Timer } from '../index.js'
import type { SqliteAccess } from './_sqlite-access.js'
import type { Connection, SqliteRow } from './_sqlite-connection.js'
import { isNumbered } from './_sqlite-jobs.js'
import { changeOf, selectedOfChange } from './_sqlite-rows.js'

/** Changes of state are numbered over both tables; an execution may be in both, with one number. */
const changesAfter = `select ${selectedOfChange} from headgate_job where changed > ? and ${isNumbered}
  union select ${selectedOfChange} from headgate_log where changed > ? and ${isNumbered} order by changed`

/** What may have changed since a time. Of an abort, no time is kept. */
const changesSince = `select ${selectedOfChange} from headgate_job
  where (start_time >= ? or end_time >= ? or state = 'aborting') and ${isNumbered}
  union select ${selectedOfChange} from headgate_log where end_time >= ? and ${isNumbered} order by changed`

/** Tells listeners of changes of state: own ones at once, those of other connections by looking again and again. */
export class Watcher {
  readonly #access: SqliteAccess
  readonly #clock: Clock
  readonly #interval: number
  readonly #listeners = new Set<(change: StorageChange) => void>()
  #timer: Timer | undefined
  /** When the first listener came. */
  #since = 0
  /** The last change that was told; `undefined` before the first look. */
  #told: number | undefined

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

  /** Tells what has changed since the last time. Never throws, as what has changed is changed: the next look tells it. */
  tell(connection: Connection): boolean {
    try {
      this.#tell(connection)
      return true
    } catch {
      return false
    }
  }

  close(): void {
    this.#listeners.clear()
    this.#stop()
  }

  #tell(connection: Connection): void {
    if (this.#listeners.size === 0) return
    for (const row of this.#news(connection)) {
      this.#told = Math.max(this.#told ?? 0, Number(row.changed))
      const change = changeOf(row)
      for (const listener of this.#listeners) hears(listener, change)
    }
  }

  #news(connection: Connection): SqliteRow[] {
    if (this.#told !== undefined) return connection.all(changesAfter, this.#told, this.#told)
    this.#told = connection.number(`select max(changed) n from headgate_job where ${isNumbered}`)
    return connection.all(changesSince, this.#since, this.#since, this.#since)
  }

  #start(): void {
    this.#since = this.#clock.now()
    void this.#look()
  }

  #stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#told = undefined
  }

  async #look(): Promise<void> {
    // Whoever calls the storage is told why it cannot be opened. The next look may do better.
    await this.#access.poll((connection) => this.tell(connection)).catch(() => false)
    if (this.#listeners.size === 0) return
    this.#timer?.cancel()
    this.#timer = this.#clock.setTimer(this.#interval, () => void this.#look(), { background: true })
  }
}

/** Whether the listener took it without throwing: one that throws must not keep the others from hearing. */
function hears(listener: (change: StorageChange) => void, change: StorageChange): boolean {
  try {
    listener(change)
    return true
  } catch {
    return false
  }
}
