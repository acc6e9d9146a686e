import type { Timer } from '../../adapter.js'
import { type Clock, errorMessages, isEnded, type JobState, type JobStatus, type Logger } from '../../index.js'
import { toEntry } from '../../wire/index.js'
import { lengthOf, piecesOf, type Search } from '../answers/index.js'
import { type FedRegistry, LiveExecutions, orderOf } from './live-executions.js'
import { missedSince } from './missed-events.js'
import { parseResumeToken, type ResumeToken } from './resume-token.js'
import { SseStream } from './sse-stream.js'

/** The filter of a reader. */
export interface EventFilter {
  type?: string
  id?: string
  state?: JobState
  /** Whether it gets queued executions. A filter with that state gets them in any case. */
  includeQueued?: boolean
}

/** The options of an {@link EventBroadcaster}. */
export interface EventBroadcasterOptions {
  readonly registry: FedRegistry
  /** Searches the log of the registry. */
  readonly search: Search
  readonly clock: Clock
  /** How often readers get a keep-alive, in milliseconds. */
  readonly keepAlive: number
  readonly logger: Logger
}

interface Reader {
  readonly filter: EventFilter
  readonly stream: SseStream
  /** Whether it has the live executions. Until then it needs only ends. */
  isUpToDate: boolean
}

/** The longest time that events are collected, and the time per reader, in milliseconds: each write has a cost. */
const longestPause = 50
const pausePerReader = 0.1

/** Tells a reader that some of its missed events are not available. */
const gap = `event: gap\ndata: ${JSON.stringify({
  reason: 'Ends of executions may be missing: the log has deleted them, or there are too many.',
})}\n\n`

/**
 * The event streams of a handler, over one subscription to its registry that lasts from the first reader to the last.
 */
export class EventBroadcaster {
  readonly #options: EventBroadcasterOptions
  readonly #readers = new Set<Reader>()
  #executions: LiveExecutions | undefined
  #started: Promise<void> | undefined
  #isStarting = false
  readonly #endListeners = new Set<() => void>()
  #keepAliveTimer: Timer | undefined
  #flushTimer: Timer | undefined
  #lastFlush = 0
  readonly #handleClosed = () => this.endAll()

  constructor(options: EventBroadcasterOptions) {
    this.#options = options
  }

  /** Returns the stream of a reader. `lastEventId` is the last event id of a reader that reconnects. */
  stream(filter: EventFilter, lastEventId: string | null): SseStream {
    const token = parseResumeToken(lastEventId ?? '')
    const stream = new SseStream({ welcome: () => this.#welcome(reader, token), close: () => this.#leave(reader) })
    const reader: Reader = { filter, stream, isUpToDate: false }
    return stream
  }

  /**
   * Throws when no stream can open: storage is unavailable, or has no live events. The subscription is kept for the
   * stream that opens next, if one does.
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

  /** Calls `listener` when all streams are to end. Returns a function that stops this. */
  onEnd(listener: () => void): () => void {
    this.#endListeners.add(listener)
    return () => this.#endListeners.delete(listener)
  }

  /** The first events of a reader: what it missed, and the live executions. Created as the reader takes them. */
  async *#welcome(reader: Reader, token: ResumeToken | undefined): AsyncGenerator<string, undefined> {
    this.#readers.add(reader)
    try {
      const executions = await this.#follow()
      if (token) yield* this.#missed(reader, executions, token)
      reader.isUpToDate = true
      const live = executions.live.filter((status) => fits(reader.filter, status))
      yield `${reader.stream.takeWaiting()}id: ${executions.resumeToken}\n\n`
      for (const piece of piecesOf(live, lengthOf)) yield piece.map(toText).join('')
    } catch (error) {
      this.#failed(error, 'Could not open a stream of events.')
      throw error
    }
  }

  #leave(reader: Reader): void {
    this.#readers.delete(reader)
    this.#stopIfIdle()
  }

  /** Stops the subscription without readers. A pending start continues, because new readers share it. */
  #stopIfIdle(): void {
    if (this.#readers.size === 0 && !this.#isStarting) this.#drop()
  }

  #drop(): void {
    this.#executions?.stop()
    this.#options.registry.closed?.removeEventListener('abort', this.#handleClosed)
    this.#executions = undefined
    this.#keepAliveTimer?.cancel()
    this.#flushTimer?.cancel()
    this.#flushTimer = undefined
  }

  async #follow(): Promise<LiveExecutions> {
    if (!this.#executions) {
      const { registry, search } = this.#options
      registry.closed?.throwIfAborted()
      registry.closed?.addEventListener('abort', this.#handleClosed)
      this.#executions = new LiveExecutions(registry, search, (status, isBeginOrEnd) =>
        this.#push(status, isBeginOrEnd),
      )
      this.#isStarting = true
      this.#started = this.#executions.start().finally(() => {
        this.#isStarting = false
      })
      this.#keepAlive()
    }
    const executions = this.#executions
    try {
      await this.#started
    } catch (error) {
      if (this.#executions === executions) this.#drop()
      throw error
    }
    return executions
  }

  /** The executions that ended since a reader left, oldest first. Each piece has an event id to resume from. */
  async *#missed(
    { filter, stream }: Reader,
    executions: LiveExecutions,
    token: ResumeToken,
  ): AsyncGenerator<string, undefined> {
    const { includeQueued, state, ...job } = filter
    if (state && !isEnded(state)) return
    const wanted = { ...job, ...(state && { state }) }
    const { hasGap, pieces } = await missedSince(this.#options.search, wanted, token, (order) =>
      executions.isLive(order),
    )
    if (hasGap) yield gap
    for await (const piece of pieces()) {
      const last = orderOf(piece.at(-1)?.executionId ?? '')
      const id = last < token.from ? '' : `id: ${executions.resumeTokenAt(last)}\n\n`
      yield piece.map(toText).join('') + stream.takeWaiting() + id
    }
  }

  #push(status: JobStatus, isBeginOrEnd: boolean): void {
    const text = toText(status)
    const resumable = isBeginOrEnd ? `id: ${this.#executions?.resumeToken}\n${text}` : text
    for (const { filter, stream, isUpToDate } of this.#readers) {
      if (!fits(filter, status)) continue
      if (isUpToDate) stream.push(resumable)
      else if (isEnded(status.state)) stream.push(text)
    }
    this.#flushSoon()
  }

  /** Flushes at once, unless the last flush was just now. */
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

  /** Sends keep-alives with a recent event id. */
  #keepAlive(): void {
    const { clock, keepAlive } = this.#options
    const tick = () => {
      // A reader may have disconnected before it started to read.
      if (this.#readers.size === 0) return this.#drop()
      this.#keepAlive()
      this.#executions?.refresh().catch((error) => this.#failed(error, 'Could not refresh the running jobs.'))
      const keepAliveEvent = `:\nid: ${this.#executions?.resumeToken}\n\n`
      for (const { stream, isUpToDate } of this.#readers) if (isUpToDate) stream.push(keepAliveEvent)
      this.#flushSoon()
    }
    this.#keepAliveTimer = clock.setTimer(keepAlive, tick, { background: true })
  }

  #failed(error: unknown, message: string): void {
    this.#options.logger.error({ error: errorMessages(error, this.#options.registry.redactor) }, message)
  }
}

function fits({ type, id, state, includeQueued }: EventFilter, status: JobStatus): boolean {
  if (status.state === 'queued' && !includeQueued && state !== 'queued') return false
  return (
    (type ?? status.type) === status.type && (id ?? status.id) === status.id && (state ?? status.state) === status.state
  )
}

/** Serializes an event: the log entry of the execution. */
function toText(status: JobStatus): string {
  return `data: ${JSON.stringify(toEntry(status))}\n\n`
}
