import { type Clock, errorMessages, isEnded, type JobState, type JobStatus, type Logger, type Timer } from '../index.js'
import { type Cursor, readCursor } from './_cursor.js'
import { EventFeed, type FedRegistry, orderOf } from './_event-feed.js'
import { EventStream } from './_event-stream.js'
import { missedSince } from './_missed.js'
import { piecesOf, type Search } from './_pages.js'
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
  /** Searches its log. */
  readonly search: Search
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

/** Tells a reader that not all could be told that it has missed. */
const gap = `event: gap\ndata: ${JSON.stringify({
  reason: 'Executions may have ended since the last event that the log keeps no more, or that are too many to tell.',
})}\n\n`

/** The streams of a handler, over one subscription to its registry: from the first reader's coming to the last one's going. */
export class EventHub {
  readonly #options: EventHubOptions
  readonly #readers = new Set<Reader>()
  #feed: EventFeed | undefined
  #started: Promise<void> | undefined
  #isStarting = false
  readonly #endListeners = new Set<() => void>()
  #keepAliveTimer: Timer | undefined
  #flushTimer: Timer | undefined
  #lastFlush = 0

  constructor(options: EventHubOptions) {
    this.#options = options
  }

  /** The stream of a reader, who was told all up to `lastEventId` if it has been here before. */
  stream(filter: EventFilter, lastEventId: string | null): EventStream {
    const cursor = readCursor(lastEventId ?? '')
    const stream = new EventStream({ welcome: () => this.#welcome(reader, cursor), close: () => this.#leave(reader) })
    const reader: Reader = { filter, stream, isUpToDate: false }
    return stream
  }

  /**
   * Throws what stands in the way of a stream: storage that is away, or that does not tell of changes. What it found out is kept
   * for the stream that opens next, if one does.
   */
  async check({ opens }: { opens: boolean }): Promise<void> {
    await this.#follow()
    if (!opens) this.#stopIfIdle()
  }

  /** Ends all streams. */
  endAll(): void {
    for (const { stream } of this.#readers) stream.end()
    for (const listener of [...this.#endListeners]) listener()
  }

  /** Calls back when all streams are to end. Gives what stops that. */
  onEnd(listener: () => void): () => void {
    this.#endListeners.add(listener)
    return () => this.#endListeners.delete(listener)
  }

  /** What a reader is told first: what it missed, and what lives. It is made as the reader takes it. */
  async *#welcome(reader: Reader, cursor: Cursor | undefined): AsyncGenerator<string, undefined> {
    this.#readers.add(reader)
    try {
      const feed = await this.#follow()
      if (cursor) yield* this.#missed(reader, feed, cursor)
      reader.isUpToDate = true
      const live = feed.live.filter((status) => fits(reader.filter, status))
      yield `${reader.stream.takeWaiting()}id: ${feed.cursor}\n\n`
      for (const piece of piecesOf(live)) yield piece.map(toText).join('')
    } catch (error) {
      this.#failed(error, 'Could not open a stream of events.')
      throw error
    }
  }

  #leave(reader: Reader): void {
    this.#readers.delete(reader)
    this.#stopIfIdle()
  }

  /** Without readers there is nothing to follow. A start under way goes on: readers that come meanwhile share it. */
  #stopIfIdle(): void {
    if (this.#readers.size === 0 && !this.#isStarting) this.#drop()
  }

  #drop(): void {
    this.#feed?.stop()
    this.#feed = undefined
    this.#keepAliveTimer?.cancel()
    this.#flushTimer?.cancel()
    this.#flushTimer = undefined
  }

  async #follow(): Promise<EventFeed> {
    if (!this.#feed) {
      const { registry, search } = this.#options
      this.#feed = new EventFeed(registry, search, (status, isTurn) => this.#tell(status, isTurn))
      this.#isStarting = true
      this.#started = this.#feed.start().finally(() => {
        this.#isStarting = false
      })
      this.#keepAlive()
    }
    const feed = this.#feed
    try {
      await this.#started
    } catch (error) {
      if (this.#feed === feed) this.#drop()
      throw error
    }
    return feed
  }

  /** What ended since a reader went, oldest first. With each piece comes an id: who leaves goes on from there. */
  async *#missed({ filter, stream }: Reader, feed: EventFeed, cursor: Cursor): AsyncGenerator<string, undefined> {
    const { includeQueued, state, ...job } = filter
    if (state && !isEnded(state)) return
    const asked = { ...job, ...(state && { state }) }
    const { hasGap, pieces } = await missedSince(this.#options.search, asked, cursor, (order) => feed.isLive(order))
    if (hasGap) yield gap
    for await (const piece of pieces()) {
      const last = orderOf(piece.at(-1)?.executionId ?? '')
      const id = last < cursor.from ? '' : `id: ${feed.cursorAt(last)}\n\n`
      yield piece.map(toText).join('') + stream.takeWaiting() + id
    }
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
      // A reader may have gone before it began to read.
      if (this.#readers.size === 0) return this.#drop()
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
