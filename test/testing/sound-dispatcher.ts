import type { Dispatcher } from 'headgate'
import type { DispatchWorker, ScheduledJob, ScheduleEngine, WaitingExecution, WaitingPage } from 'headgate/adapter'
import { type DispatcherFixture, type FakeClock, fakeClock } from 'headgate/testing'

/** One way to break the contract each. */
export type DispatcherBug =
  | 'ignores priorities'
  | 'dispatches the newest first'
  | 'lists in the order of adding'
  | 'lists what runs'
  | 'counts the page'
  | 'loses the datasource'
  | 'queues twice what is added twice'
  | 'runs one at a time without a limit'
  | 'ignores the limit of a process'
  | 'ignores the limit of the cluster'
  | 'ignores the limit of a datasource'
  | 'blocks behind a limited datasource'
  | 'drops what was refused'
  | 'offers what was removed'
  | 'offers to one process'
  | 'removes nothing'
  | 'removes what runs'
  | 'moves nothing'
  | 'moves what runs'
  | 'moves to the front'
  | 'dispatches after its close'
  | 'loses its queue at a close'
  | 'says that its queue is its own'
  | 'has a queue of its own'
  | 'loses what a dead process ran'
  | 'lets the first schedule win'
  | 'ignores a removed schedule'
  | 'hides that a rival is gone'
  | 'keeps a withdrawn schedule'
  | 'rejects its check'

/** How long until a refused execution is offered to the same dispatcher again, and until a dead one is noticed, in milliseconds. */
const pause = 10

/** A queue in memory that dispatchers share, and that supports everything that the suite knows; `bug` breaks it. */
export function soundDispatcher(bug?: DispatcherBug): DispatcherFixture {
  const clock = fakeClock()
  const common = new SharedQueue(clock, bug)
  const open = () => new SoundDispatcher(bug === 'has a queue of its own' ? new SharedQueue(clock) : common, bug)
  return { clock, pass: clock.advance, open, cut: (dispatcher) => (dispatcher as SoundDispatcher).die() }
}

interface Entry {
  waiting: WaitingExecution
  order: number
  runner: SoundDispatcher | undefined
  readonly refusedBy: Set<SoundDispatcher>
}

interface Definition {
  readonly schedule: string | undefined
  readonly onRival: (lastSeen?: number) => void
}

class SharedQueue {
  readonly clock: FakeClock
  readonly members = new Set<SoundDispatcher>()
  readonly entries = new Map<string, Entry>()
  readonly #bug: DispatcherBug | undefined
  readonly #definitions = new Map<string, Map<SoundDispatcher, Definition>>()
  #added = 0

  constructor(clock: FakeClock, bug?: DispatcherBug) {
    this.clock = clock
    this.#bug = bug
  }

  /** What is queued, in the order of dispatch. */
  get queued(): Entry[] {
    const sign = this.#bug === 'dispatches the newest first' ? -1 : 1
    const ofPriority = ({ waiting }: Entry) => (this.#bug === 'ignores priorities' ? 0 : waiting.priority)
    return [...this.entries.values()]
      .filter(({ runner }) => !runner)
      .sort((a, b) => ofPriority(b) - ofPriority(a) || sign * (a.order - b.order))
  }

  find(executionId: string): Entry | undefined {
    return this.entries.get(executionId)
  }

  nextOrder(): number {
    return ++this.#added
  }

  add(waiting: WaitingExecution): void {
    const isTwice = this.entries.has(waiting.executionId)
    if (isTwice && this.#bug !== 'queues twice what is added twice') return
    const { datasource: _, ...rest } = waiting
    const order = this.nextOrder()
    this.entries.set(isTwice ? `${waiting.executionId} ${order}` : waiting.executionId, {
      waiting: this.#bug === 'loses the datasource' ? rest : waiting,
      order,
      runner: undefined,
      refusedBy: new Set(),
    })
  }

  dispatch(): void {
    for (const entry of this.queued) {
      const runner = [...this.members].find((member) => !entry.refusedBy.has(member) && this.#hasSlot(member, entry))
      if (runner) void this.#run(entry, runner)
      else if (this.#bug === 'blocks behind a limited datasource') return
    }
  }

  /** Queues again what a dead dispatcher ran. */
  release(dead: SoundDispatcher): void {
    for (const [id, entry] of this.entries) {
      if (entry.runner !== dead) continue
      entry.runner = undefined
      if (this.#bug === 'loses what a dead process ran') this.entries.delete(id)
    }
    this.dispatch()
  }

  /** Tells the others when a job has another schedule. */
  define(member: SoundDispatcher, { type, id }: ScheduledJob, definition: Definition): void {
    const key = JSON.stringify([type, id])
    const definitions = this.#definitions.get(key) ?? new Map<SoundDispatcher, Definition>()
    const rivals = [...definitions.values()].filter(({ schedule }) => schedule !== definition.schedule)
    this.#definitions.set(key, definitions.set(member, definition))
    if (this.#bug === 'ignores a removed schedule' && definition.schedule === undefined) return
    for (const rival of rivals) (this.#bug === 'lets the first schedule win' ? definition : rival).onRival()
  }

  /** Tells the others that a dispatcher does not define the schedule of a job any more. */
  withdraw(member: SoundDispatcher, { type, id }: ScheduledJob): void {
    if (this.#bug === 'keeps a withdrawn schedule') return
    this.#forget(member, this.#definitions.get(JSON.stringify([type, id])))
  }

  /** Tells the others which schedules have ended with a dispatcher. */
  leave(member: SoundDispatcher): void {
    for (const definitions of this.#definitions.values()) {
      if (this.#bug === 'hides that a rival is gone') definitions.delete(member)
      else this.#forget(member, definitions)
    }
  }

  #forget(member: SoundDispatcher, definitions = new Map<SoundDispatcher, Definition>()): void {
    const wasLatest = [...definitions.keys()].at(-1) === member
    definitions.delete(member)
    if (wasLatest) [...definitions.values()].at(-1)?.onRival(this.clock.now())
  }

  #hasSlot(member: SoundDispatcher, { waiting: { datasource = '' } }: Entry): boolean {
    const { process, cluster, datasources = {} } = member.limits
    const running = [...this.entries.values()].filter(({ runner }) => runner)
    const here = running.filter(({ runner }) => runner === member).length
    const onDatasource = running.filter(({ waiting }) => waiting.datasource === datasource).length
    const isUnder = (of: string, count: number, limit = Number.POSITIVE_INFINITY) =>
      count < limit || this.#bug === `ignores the limit of ${of}`
    return (
      isUnder('a process', here, process ?? (this.#bug === 'runs one at a time without a limit' ? 1 : undefined)) &&
      isUnder('the cluster', running.length, cluster) &&
      isUnder('a datasource', onDatasource, datasources[datasource])
    )
  }

  async #run(entry: Entry, runner: SoundDispatcher): Promise<void> {
    entry.runner = runner
    const hasEnded = await runner.run(entry.waiting)
    if (entry.runner !== runner) return
    entry.runner = undefined
    if (hasEnded || this.#bug === 'drops what was refused') {
      for (const [id, each] of this.entries) if (each === entry) this.entries.delete(id)
    } else {
      this.#offerLater(entry, runner)
    }
    this.dispatch()
  }

  #offerLater(entry: Entry, refusing: SoundDispatcher): void {
    const { executionId } = entry.waiting
    const refusedBy = this.#bug === 'offers to one process' ? [...this.members] : [refusing]
    for (const member of refusedBy) entry.refusedBy.add(member)
    this.clock.setTimer(pause, () => {
      entry.refusedBy.delete(refusing)
      if (this.#bug === 'offers what was removed') this.entries.set(executionId, entry)
      this.dispatch()
    })
  }
}

class SoundDispatcher implements Dispatcher {
  readonly isShared: boolean
  readonly schedules: ScheduleEngine
  readonly #queue: SharedQueue
  readonly #bug: DispatcherBug | undefined
  #worker!: DispatchWorker

  constructor(queue: SharedQueue, bug: DispatcherBug | undefined) {
    this.#queue = queue
    this.#bug = bug
    this.isShared = bug !== 'says that its queue is its own'
    this.schedules = {
      set: (job, schedule, onRival) => queue.define(this, job, { schedule: JSON.stringify(schedule), onRival }),
      remove: (job) => queue.withdraw(this, job),
    }
  }

  get limits(): DispatchWorker['limits'] {
    return this.#worker.limits
  }

  run(waiting: WaitingExecution): Promise<boolean> {
    return this.#worker.run(waiting)
  }

  work(worker: DispatchWorker): void {
    this.#worker = worker
    this.#queue.members.add(this)
    this.#queue.dispatch()
  }

  async add(waiting: readonly WaitingExecution[]): Promise<void> {
    for (const one of waiting) this.#queue.add(one)
    this.#queue.dispatch()
  }

  async remove(executionId: string): Promise<boolean> {
    const entry = this.#queue.find(executionId)
    if (!entry || (entry.runner && this.#bug !== 'removes what runs')) return false
    if (this.#bug !== 'removes nothing') this.#queue.entries.delete(executionId)
    return true
  }

  async move(executionId: string, priority: number): Promise<boolean> {
    const entry = this.#queue.find(executionId)
    if (!entry || (entry.runner && this.#bug !== 'moves what runs')) return false
    if (this.#bug === 'moves nothing') return true
    entry.waiting = { ...entry.waiting, priority }
    entry.order = (this.#bug === 'moves to the front' ? -1 : 1) * this.#queue.nextOrder()
    return true
  }

  async check(): Promise<void> {
    if (this.#bug === 'rejects its check') throw new Error('The queue cannot be used.')
  }

  async waiting({ from, size }: { from: number; size: number }): Promise<WaitingPage> {
    const entries = this.#bug === 'lists what runs' ? [...this.#queue.entries.values()] : this.#queue.queued
    if (this.#bug === 'lists in the order of adding') entries.sort((a, b) => a.order - b.order)
    const hits = entries.slice(from, from + size).map(({ waiting }) => waiting)
    return { total: this.#bug === 'counts the page' ? hits.length : entries.length, hits }
  }

  async close(): Promise<void> {
    if (this.#bug === 'dispatches after its close') return
    this.#queue.members.delete(this)
    this.#queue.leave(this)
    if (this.#bug === 'loses its queue at a close') this.#queue.entries.clear()
  }

  /** Dies, which the queue notices later. */
  die(): void {
    this.#queue.members.delete(this)
    this.#queue.clock.setTimer(pause, () => this.#queue.release(this))
  }
}
