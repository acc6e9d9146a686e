import { type JobState, jobStates, type StorageChange, systemClock, type Timer } from '../../../adapter.js'
import type { Database } from './database.js'
import { splitId } from './rows.js'

/** How long changes are collected before one statement notifies them, in milliseconds. */
const batchDelay = 10

/**
 * The maximum size of a notification in bytes: Postgres accepts less than 8,000. The longest type and id, escaped,
 * have 6,200.
 */
const maxBytes = 7900

/** The maximum number of changes that wait for a connection. Other processes find the rest by polling. */
const maxWaiting = 10_000

/** A change in a notification: type, id, UUID, state, and the number of a partition. */
type ChangeTuple = [type: string, id: string, uuid: string, state: string, partition?: number]

/** A notification: its sender and changes. Without changes, the sender only verifies its own subscription. */
export interface Message {
  readonly from: string
  readonly changes: StorageChange[]
}

/**
 * Notifies other processes of changes, some milliseconds later and with separate statements: transactions that notify
 * commit one after the other across the whole server.
 */
export class Notifier {
  readonly #database: Database
  readonly #channel: string
  readonly #from: string
  #queued: ChangeTuple[] = []
  #timer: Timer | undefined
  #sending: Promise<void> | undefined

  constructor(database: Database, channel: string, from: string) {
    this.#database = database
    this.#channel = channel
    this.#from = from
  }

  /** Queues a change for notification. An abort request is notified at once. */
  notify({ type, id, partition, executionId, state }: StorageChange): void {
    if (this.#queued.length === maxWaiting) return
    const uuid = splitId(executionId)?.uuid ?? ''
    this.#queued.push(partition === undefined ? [type, id, uuid, state] : [type, id, uuid, state, partition])
    if (state === 'aborting') void this.flush()
    else this.#timer ??= systemClock.setTimer(batchDelay, () => void this.flush(), { background: true })
  }

  /** Notifies all queued changes. Never rejects: other processes also poll. */
  async flush(): Promise<void> {
    this.#timer?.cancel()
    this.#timer = undefined
    while (this.#sending) await this.#sending
    if (this.#queued.length === 0) return
    const payloads = payloadsOf(this.#from, this.#queued)
    this.#queued = []
    this.#sending = this.#send(payloads).finally(() => {
      this.#sending = undefined
    })
    await this.#sending
  }

  /** Sends an empty notification, which this process receives if its subscription works. */
  async probe(): Promise<void> {
    await this.#send([JSON.stringify([this.#from])])
  }

  async #send(payloads: readonly string[]): Promise<void> {
    const text = `select count(pg_notify($1::text, payload))::text as sent
      from json_array_elements_text($2::text::json) payload`
    await this.#database.query(text, [this.#channel, JSON.stringify(payloads)]).catch(() => undefined)
  }
}

/** Parses a notification. Returns `undefined` for a foreign one. */
export function messageOf(payload: string): Message | undefined {
  try {
    const [from, ...tuples] = JSON.parse(payload) as [string, ...ChangeTuple[]]
    if (typeof from !== 'string') return undefined
    return {
      from,
      changes: tuples.filter(isChangeTuple).map(([type, id, uuid, state, partition]) => {
        return { type, id, ...(partition !== undefined && { partition }), executionId: id + uuid, state }
      }),
    }
  } catch {
    return undefined
  }
}

/** Whether a change is valid for this version: any client may notify, and a later version may have more states. */
function isChangeTuple(value: unknown): value is [string, string, string, JobState, number?] {
  if (!Array.isArray(value) || value.length < 4 || value.length > 5) return false
  const [type, id, uuid, state, partition] = value
  if (![type, id, uuid].every((part) => typeof part === 'string')) return false
  return jobStates.includes(state) && (partition === undefined || (Number.isSafeInteger(partition) && partition >= 0))
}

/** Packs the changes into as few notifications as possible. */
function payloadsOf(from: string, changes: readonly ChangeTuple[]): string[] {
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
