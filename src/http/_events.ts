import { type Clock, errorMessages, isEnded, type JobState, type JobStatus, type Logger, type Timer } from '../index.js'
import { type Cursor, justAfter, readCursor } from './_cursor.js'
import { EventFeed, type FedRegistry, orderOf, pagesOf } from './_event-feed.js'
import { EventStream } from './_event-stream.js'
import { toEntry } from './wire.js'

/** Which events a reader is told. */
export interface EventFilter {
  type?: string
  id?: string
  state?: JobState
  /** Whether it is told of executions that wait for a slot, as it is in any case when it asks for that state. */
  includeQueued?: boolean
}

/** What an {@link EventHub} works with. */
export interface EventHubOptions {
  readonly registry: FedRegistry
  readonly clock: Clock
  /** How often readers are sent a sign of life, in milliseconds. */
  readonly keepAlive: number
  readonly logger: Pick<Logger, 'error'> | undefined
}

interface Reader {
  readonly filter: EventFilter
  readonly stream: EventStream
  /** Whether it knows what lives. Until then it needs to hear of ends only. */
  isUpToDate: boolean
}

/** What is told is gathered for so long at most, in milliseconds: for a tenth of one per reader, as each costs a write. */
const longestPause = 50
const pausePerReader = 0.1

/** The most pages of the log that a reader is told who comes back. */
const maxPages = 10

/** The streams of a handler, over one subscription to its registry: from the first reader's coming to the last one's going. */
export class EventHub {
  readonly #options: EventHubOptions
  readonly #readers = new Set<Reader>()
  #feed: EventFeed | undefined
  #started: Promise<void> | undefined
  #keepAliveTimer: Timer | undefined
  #flushTimer: Timer | undefined
  #lastFlush = 0

  constructor(options: EventHubOptions) {
    this.#options = options
  }

  /** The stream of a reader, who was told all up to `lastEventId` if it has been here before. */
  stream(filter: EventFilter, lastEventId: string | null): EventStream {
    const cursor = readCursor(lastEventId ?? '')
    const stream = new EventStream({ open: () => this.#welcome(reader, cursor), close: () => this.#leave(reader) })
    const reader: Reader = { filter, stream, isUpToDate: false }
    return stream
  }

  /** Throws what stands in the way of a stream: storage that is away, or that does not tell of changes. */
  async check(): Promise<void> {
    if (this.#feed) return
    const { registry } = this.#options
    registry.on('status', () => {}, { scope: 'cluster' })()
    await registry.search({ size: 0 })
  }

  /** Ends all streams. */
  endAll(): void {
    for (const { stream } of this.#readers) stream.end()
  }

  async #welcome(reader: Reader, cursor: Cursor | undefined): Promise<string> {
    this.#readers.add(reader)
    try {
      const feed = await this.#follow()
      const missed = cursor ? await this.#missed(feed, reader.filter, cursor) : []
      reader.isUpToDate = true
      const live = feed.live.filter((status) => fits(reader.filter, status))
      return `${missed.map(toText).join('')}id: ${feed.cursor}\n\n${live.map(toText).join('')}`
    } catch (error) {
      this.#failed(error, 'Could not open a stream of events.')
      throw error
    }
  }

  #leave(reader: Reader): void {
    this.#readers.delete(reader)
    if (this.#readers.size > 0) return
    this.#feed?.stop()
    this.#feed = undefined
    this.#keepAliveTimer?.cancel()
    this.#flushTimer?.cancel()
    this.#flushTimer = undefined
  }

  async #follow(): Promise<EventFeed> {
    if (!this.#feed) {
      this.#feed = new EventFeed(this.#options.registry, (status, isTurn) => this.#tell(status, isTurn))
      this.#started = this.#feed.start()
      this.#keepAlive()
    }
    const feed = this.#feed
    await this.#started
    return feed
  }

  /** What ended since a reader went, oldest first. */
  async #missed(feed: EventFeed, filter: EventFilter, { from, older }: Cursor): Promise<JobStatus[]> {
    const { registry } = this.#options
    const { includeQueued, state, ...job } = filter
    if (state && !isEnded(state)) return []
    const asked = { ...job, ...(state && { state }) }
    const missed: JobStatus[] = []
    for await (const status of pagesOf(registry, asked, maxPages)) {
      if (orderOf(status.executionId) < from) break
      missed.push(status)
    }
    for (const order of older.filter((order) => order < from && !feed.isLive(order)).reverse()) {
      const { hits } = await registry.search({ ...asked, searchAfter: justAfter(order), size: 1 })
      missed.push(...hits.filter(({ executionId }) => orderOf(executionId) === order))
    }
    return missed.reverse()
  }

  #tell(status: JobStatus, isTurn: boolean): void {
    const text = toText(status)
    const resumable = isTurn ? `id: ${this.#feed?.cursor}\n${text}` : text
    for (const { filter, stream, isUpToDate } of this.#readers) {
      if (!fits(filter, status)) continue
      if (isUpToDate) stream.push(resumable)
      else if (isEnded(status.state)) stream.push(text)
    }
    this.#flushSoon()
  }

  /** Flushes at once, unless that was done just now. */
  #flushSoon(): void {
    if (this.#flushTimer) return
    const { clock } = this.#options
    const pause = Math.min(longestPause, Math.floor(this.#readers.size * pausePerReader))
    const wait = Math.min(pause, this.#lastFlush + pause - clock.now())
    if (wait > 0) this.#flushTimer = clock.setTimer(wait, () => this.#flush(), { background: true })
    else this.#flush()
  }

  #flush(): void {
    this.#flushTimer = undefined
    this.#lastFlush = this.#options.clock.now()
    for (const { stream } of this.#readers) stream.flush()
  }

  /** Lets proxies and readers know that the stream lives, and readers go on from here. */
  #keepAlive(): void {
    const { clock, keepAlive } = this.#options
    const tick = () => {
      this.#keepAlive()
      this.#feed?.look().catch((error) => this.#failed(error, 'Could not look at the jobs that run.'))
      const sign = `:\nid: ${this.#feed?.cursor}\n\n`
      for (const { stream, isUpToDate } of this.#readers) if (isUpToDate) stream.push(sign)
      this.#flushSoon()
    }
    this.#keepAliveTimer = clock.setTimer(keepAlive, tick, { background: true })
  }

  #failed(error: unknown, message: string): void {
    this.#options.logger?.error({ error: errorMessages(error, this.#options.registry.redactor) }, message)
  }
}

function fits({ type, id, state, includeQueued }: EventFilter, status: JobStatus): boolean {
  if (status.state === 'queued' && !includeQueued && state !== 'queued') return false
  return (
    (type ?? status.type) === status.type && (id ?? status.id) === status.id && (state ?? status.state) === status.state
  )
}

/** An event: the entry that the log has of the execution. */
function toText(status: JobStatus): string {
  return `data: ${JSON.stringify(toEntry(status))}\n\n`
}
