import { type JobState, jobStates, type StorageChange, systemClock, type Timer } from '../index.js'
import type { Database } from './_postgres-database.js'
import { splitId } from './_postgres-record.js'

/** How long changes are gathered before others are told, in milliseconds: one statement tells them all. */
const gathering = 10

/** The most bytes of a notification: Postgres takes less than 8,000. The longest type and id, escaped, have 6,200. */
const maxBytes = 7900

/** The most changes that wait while nobody can be told; others find the rest out by themselves. */
const maxWaiting = 10_000

/** A change as it is told: type, id, UUID, state. */
type Told = [type: string, id: string, uuid: string, state: string]

/** What a notification says: who sends it, and changes. Without changes, the sender only asks whether it is heard. */
export interface Message {
  readonly from: string
  readonly changes: StorageChange[]
}

/**
 * Tells other processes of changes. A statement of its own does so, some milliseconds later: transactions that notify
 * commit one after the other, over the whole server, so those that begin and end executions do not.
 */
export class Notifier {
  readonly #database: Database
  readonly #channel: string
  readonly #from: string
  #waiting: Told[] = []
  #timer: Timer | undefined
  #sending: Promise<void> | undefined

  constructor(database: Database, channel: string, from: string) {
    this.#database = database
    this.#channel = channel
    this.#from = from
  }

  /** Tells others soon; of an abort that was asked for, at once. */
  tell({ type, id, executionId, state }: StorageChange): void {
    if (this.#waiting.length === maxWaiting) return
    this.#waiting.push([type, id, splitId(executionId)?.uuid ?? '', state])
    if (state === 'aborting') void this.flush()
    else this.#timer ??= systemClock.setTimer(gathering, () => void this.flush(), { background: true })
  }

  /** Tells others of all that waits. Never rejects: who is not told looks. */
  async flush(): Promise<void> {
    this.#timer?.cancel()
    this.#timer = undefined
    while (this.#sending) await this.#sending
    if (this.#waiting.length === 0) return
    const payloads = payloadsOf(this.#from, this.#waiting)
    this.#waiting = []
    this.#sending = this.#send(payloads).finally(() => {
      this.#sending = undefined
    })
    await this.#sending
  }

  /** Asks whether this process hears notifications: it gets an empty one of its own. */
  async probe(): Promise<void> {
    await this.#send([JSON.stringify([this.#from])])
  }

  async #send(payloads: readonly string[]): Promise<void> {
    const text = `select count(pg_notify($1::text, payload))::text as told
      from json_array_elements_text($2::text::json) payload`
    await this.#database.query(text, [this.#channel, JSON.stringify(payloads)]).catch(() => undefined)
  }
}

/** What a notification says, or `undefined` when it is somebody else's. */
export function messageOf(payload: string): Message | undefined {
  try {
    const [from, ...told] = JSON.parse(payload) as [string, ...Told[]]
    if (typeof from !== 'string') return undefined
    return {
      from,
      changes: told.filter(isTold).map(([type, id, uuid, state]) => ({ type, id, executionId: id + uuid, state })),
    }
  } catch {
    return undefined
  }
}

/** Whether a change is one that this version knows: anybody may notify, and a later version may know more states. */
function isTold(told: unknown): told is Told & [string, string, string, JobState] {
  if (!Array.isArray(told) || told.length !== 4 || !told.every((part) => typeof part === 'string')) return false
  return jobStates.includes(told[3] as JobState)
}

/** As few notifications as hold all changes. */
function payloadsOf(from: string, changes: readonly Told[]): string[] {
  const payloads: string[] = []
  const start = JSON.stringify([from]).slice(0, -1)
  let payload = start
  let bytes = 0
  for (const change of changes) {
    const text = `,${JSON.stringify(change)}`
    const added = Buffer.byteLength(text)
    if (bytes > 0 && bytes + added > maxBytes - start.length) {
      payloads.push(`${payload}]`)
      payload = start
      bytes = 0
    }
    payload += text
    bytes += added
  }
  return [...payloads, `${payload}]`]
}
