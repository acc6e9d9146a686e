import type { Clock, Dispatcher, WaitingExecution } from 'headgate'
import type { DispatchWorker } from 'headgate/adapter'
import type { SimulatedNode } from './scale-node.js'

/** A node that takes turns. */
interface Seat {
  readonly node: SimulatedNode
  readonly worker: DispatchWorker
  readonly slots: number
  /** What has its turn there. */
  readonly taken: Set<WaitingExecution>
  /** Whether it is among those that may have a slot free. */
  isListed: boolean
}

/** Until a turn is given again that was not taken, or whose node gives no sign of life, in milliseconds. */
const pauses = { refused: 500, stalled: 30_000 }

/** How often the line does what an engine may do. */
const odds = { lost: 0.01, doubled: 0.01, late: 0.01 }

/** A line that all nodes share, which loses some, gives some two turns, and gives some their turn again much later. */
export class SharedLine {
  readonly faults = { lost: 0, doubled: 0, late: 0, stalled: 0, refused: 0 }
  readonly #clock: Clock
  readonly #random: () => number
  readonly #hasFaults: boolean
  readonly #waiting = new Map<string, WaitingExecution>()
  /** Those that have a slot free, or are no more. */
  readonly #free: Seat[] = []
  readonly #seats = new Map<SimulatedNode, Seat>()

  constructor(clock: Clock, random: () => number, hasFaults: boolean) {
    this.#clock = clock
    this.#random = random
    this.#hasFaults = hasFaults
  }

  /** The line, as one node sees it. */
  dispatcherFor(node: SimulatedNode): Dispatcher {
    return {
      isShared: true,
      work: (worker) => this.#seat(node, worker),
      add: async (waiting) => {
        for (const one of waiting) this.#add(one)
      },
      remove: async (executionId) => this.#waiting.delete(executionId),
      move: async () => false,
      waiting: async ({ from, size }) => ({
        total: this.#waiting.size,
        hits: size > 0 ? [...this.#waiting.values()].slice(from, from + size) : [],
      }),
    }
  }

  /** A node does not answer any more: what it had is given to others, sooner or later. */
  stall(node: SimulatedNode): void {
    const seat = this.#seats.get(node)
    for (const waiting of seat?.taken ?? []) {
      this.#clock.setTimer(pauses.stalled, () => this.#again('stalled', waiting))
    }
  }

  #seat(node: SimulatedNode, worker: DispatchWorker): void {
    const slots = worker.limits.process ?? Number.POSITIVE_INFINITY
    const seat: Seat = { node, worker, slots, taken: new Set(), isListed: false }
    this.#seats.set(node, seat)
    this.#list(seat)
    this.#giveTurns()
  }

  #add(waiting: WaitingExecution): void {
    if (this.#waiting.has(waiting.executionId)) return
    if (this.#does('lost')) return
    this.#waiting.set(waiting.executionId, waiting)
    if (this.#does('late')) this.#clock.setTimer(this.#random() * 120_000, () => this.#add(waiting))
    this.#giveTurns()
  }

  #does(fault: keyof typeof odds): boolean {
    const does = this.#hasFaults && this.#random() < odds[fault]
    if (does) this.faults[fault]++
    return does
  }

  #again(fault: 'stalled' | 'refused', waiting: WaitingExecution): void {
    this.faults[fault]++
    this.#waiting.set(waiting.executionId, waiting)
    this.#giveTurns()
  }

  #giveTurns(): void {
    for (const [executionId, waiting] of this.#waiting) {
      const seat = this.#freeSeat()
      if (!seat) return
      this.#waiting.delete(executionId)
      void this.#give(seat, waiting)
      const other = this.#does('doubled') && this.#freeSeat()
      if (other) void this.#give(other, { ...waiting })
    }
  }

  /** Any node that has a slot free. */
  #freeSeat(): Seat | undefined {
    while (this.#free.length > 0) {
      const at = Math.floor(this.#random() * this.#free.length)
      const seat = this.#free[at] as Seat
      const isWell = seat.node.health === 'well' || seat.node.health === 'cut'
      if (isWell && seat.taken.size < seat.slots) return seat
      this.#free[at] = this.#free.at(-1) as Seat
      this.#free.pop()
      seat.isListed = false
    }
    return undefined
  }

  /** A node is back. */
  rejoin(node: SimulatedNode): void {
    const seat = this.#seats.get(node)
    if (seat) this.#list(seat)
    this.#giveTurns()
  }

  #list(seat: Seat): void {
    if (!seat.isListed) this.#free.push(seat)
    seat.isListed = true
  }

  async #give(seat: Seat, waiting: WaitingExecution): Promise<void> {
    seat.taken.add(waiting)
    const isDone = await seat.worker.run(waiting)
    seat.taken.delete(waiting)
    this.#list(seat)
    if (!isDone) this.#clock.setTimer(pauses.refused, () => this.#again('refused', waiting))
    this.#giveTurns()
  }
}
