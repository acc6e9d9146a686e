import { setTimeout } from 'node:timers/promises'
import { type RedisBackend, runnerOf } from './redis.js'

/** A slot that this process holds. */
export interface HeldSlot {
  readonly job: {
    readonly id?: string | undefined
    readonly name: string
    readonly data: unknown
    readonly timestamp: number
    readonly priority: number
  }
  readonly token: string
}

/** The options of a {@link LostSlots}. */
export interface LostSlotsOptions {
  /** The backend of the worker, because slots end on the same connection. */
  readonly engine: object
  readonly lockDuration: number
  /** Aborts when the queue closes. */
  readonly closing: AbortSignal
  /** The slots that this process holds. */
  held(): Iterable<HeldSlot>
  /** Whether this process still holds a slot. */
  isHeld(slot: HeldSlot): boolean
  /** Called after slots were restored in Redis. */
  onRestored(slots: readonly HeldSlot[]): Promise<void>
  /** Whether storage has executions that began before a time and have not ended. */
  hasLiveBefore(time: number): Promise<boolean>
  warn(error: unknown): void
}

/** The field next to the limit that holds the mark. */
const field = 'headgate'

/** A mark with this prefix does not count yet: processes are restoring their slots. */
const restoring = 'restoring/'

/** How often the mark is read, and how long processes have to restore their slots, in milliseconds. */
const times = { poll: 1000, pollWhileRestoring: 200, restore: 3000 }

/** Replaces a mark by the next one, with the limit, unless another process did. Returns the current mark. */
const moveMark = {
  name: 'headgateMoveMark',
  numberOfKeys: 1,
  lua: `
    local mark = redis.call('HGET', KEYS[1], '${field}') or ''
    if mark ~= ARGV[1] then return mark end
    redis.call('HSET', KEYS[1], '${field}', ARGV[2], 'concurrency', ARGV[3])
    return ARGV[2]`,
}

/** Makes a job active again, as BullMQ does when it dispatches one, unless another process has it. */
const restoreSlot = {
  name: 'headgateRestoreSlot',
  numberOfKeys: 7,
  lua: `
    local job, lock, active, wait, prioritized, delayed, stalled = unpack(KEYS)
    local id, token, lockDuration, name, data, timestamp, priority = unpack(ARGV)
    local owner = redis.call('GET', lock)
    if owner and owner ~= token then return 0 end
    redis.call('LREM', active, 0, id)
    redis.call('LREM', wait, 0, id)
    redis.call('ZREM', prioritized, id)
    redis.call('ZREM', delayed, id)
    redis.call('SREM', stalled, id)
    if redis.call('EXISTS', job) == 0 then
      redis.call('HSET', job, 'name', name, 'data', data, 'opts', '{}', 'timestamp', timestamp, 'delay', 0,
        'priority', priority)
    end
    redis.call('LPUSH', active, id)
    redis.call('SET', lock, token, 'PX', lockDuration)
    return 1`,
}

/**
 * Detects that Redis lost the data of a queue. A mark next to the limit, in the same key, is never the same twice. A
 * slot counts only if the mark has not changed since. When the mark is missing, no slots are taken for three seconds.
 * In that time, each process restores the slots that it holds, so that they count again.
 */
export class LostSlots {
  readonly #options: LostSlotsOptions
  readonly #engine: RedisBackend
  readonly #openedAt = Date.now()
  /** The limit of the queue. Without one, nothing needs to be detected. */
  #limit: number | undefined
  #known: string | undefined
  #restoringSince: number | undefined
  #wasKnown = false
  /** The mark at the time when each job was taken. */
  readonly #marks = new WeakMap<object, string | undefined>()

  constructor(options: LostSlotsOptions) {
    this.#options = options
    this.#engine = options.engine as RedisBackend
  }

  /** Polls until the queue closes. */
  async watch(): Promise<void> {
    const { closing, warn } = this.#options
    while (!closing.aborted) {
      await this.#poll().catch((error) => closing.aborted || warn(error))
      const delay = this.isOpen ? times.poll : times.pollWhileRestoring
      await setTimeout(delay, undefined, { signal: closing, ref: false }).catch(() => undefined)
    }
  }

  /** Sets the limit of the queue. */
  setLimit(limit: number | undefined): void {
    this.#limit = limit
  }

  /** Whether slots may be taken. */
  get isOpen(): boolean {
    return this.#limit === undefined || this.#known !== undefined
  }

  /** Records the mark for a job that Redis dispatched. */
  noteTaken(job: object): void {
    this.#marks.set(job, this.#known)
  }

  /** Whether the slot of a job counts. Without a limit, every slot does. */
  counts(job: object): true | Promise<boolean> {
    return this.#limit === undefined || this.#countsNow(job)
  }

  async #countsNow(job: object): Promise<boolean> {
    const known = this.#marks.get(job)
    const mark = await this.#mark()
    if (mark !== this.#known) this.#known = undefined
    return known !== undefined && mark === known
  }

  /** Restores slots of this process that Redis lost. */
  async restore(slots: readonly HeldSlot[]): Promise<void> {
    const { keys } = this.#engine
    const { lockDuration, isHeld } = this.#options
    const run = await runnerOf(this.#engine, restoreSlot)
    for (const slot of slots) {
      // A slot that has ended would be held until its lock expires.
      if (!isHeld(slot)) continue
      const { job, token } = slot
      const { id = '', name, data, timestamp, priority } = job
      const key = this.#engine.toKey(id)
      const lists = ['active', 'wait', 'prioritized', 'delayed', 'stalled'].map((list) => keys[list] as string)
      const values = [id, token, lockDuration, name, JSON.stringify(data), timestamp, priority]
      await run([key, `${key}:lock`, ...lists, ...values])
    }
    if (slots.length > 0) await this.#options.onRestored(slots)
  }

  async #poll(): Promise<void> {
    if (this.#limit === undefined) return
    const mark = await this.#mark()
    if (mark === this.#known) return
    this.#known = undefined
    await this.restore([...this.#options.held()])
    if (isWhole(mark)) return this.#setKnown(mark)
    this.#restoringSince ??= performance.now()
    const next = await this.#next(mark)
    if (next === mark) return
    const run = await runnerOf(this.#engine, moveMark)
    const moved = await run([this.#metaKey, mark, next, this.#limit])
    if (isWhole(moved)) this.#setKnown(moved)
  }

  /** The mark that follows one that does not count. */
  async #next(mark: string): Promise<string> {
    const since = this.#restoringSince as number
    const whole = mark.slice(restoring.length) || crypto.randomUUID()
    if (mark !== '' && performance.now() - since >= times.restore) return whole
    if (mark !== '') return mark
    // A new queue has lost nothing.
    const isNew = !this.#wasKnown && !(await this.#options.hasLiveBefore(this.#openedAt))
    return isNew ? whole : restoring + whole
  }

  #setKnown(mark: string): void {
    this.#known = mark
    this.#wasKnown = true
    this.#restoringSince = undefined
  }

  async #mark(): Promise<string> {
    return (await this.#engine.getQueueMetaField(field)) ?? ''
  }

  get #metaKey(): string {
    return this.#engine.keys.meta as string
  }
}

function isWhole(mark: unknown): mark is string {
  return typeof mark === 'string' && mark !== '' && !mark.startsWith(restoring)
}
