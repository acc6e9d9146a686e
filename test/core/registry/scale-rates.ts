import { type JobContext, memoryStorage } from 'headgate'
import { fakeClock } from 'headgate/testing'
import { SharedLine } from './scale-line.js'
import { type NodeHost, SimulatedNode } from './scale-node.js'

/** What is there while calls are counted. */
export interface Load {
  readonly nodes: number
  /** How many jobs run all the time, on any of the nodes; they say progress every 5 seconds. */
  readonly running: number
  /** How many jobs every node has defined. */
  readonly defined: number
  /** How many types the jobs have that never run. */
  readonly types: number
  /** How many executions the log has. */
  readonly log: number
}

/** Calls of storage, by their method. */
export type Calls = Record<string, number>

const lease = 30_000
const step = 5000
const minute = 60_000

/** Nodes that run jobs and do nothing else, and what they ask of storage. */
export class SteadyWorld {
  readonly nodes: SimulatedNode[] = []
  readonly #clock = fakeClock()
  readonly #storage = memoryStorage({ clock: this.#clock, maxCount: 1_000_000 })
  readonly #load: Load
  readonly #host: NodeHost
  readonly #line: SharedLine
  #calls: Calls = {}

  constructor(load: Load, random: () => number) {
    this.#load = load
    this.#line = new SharedLine(this.#clock, random, false)
    this.#host = {
      clock: this.#clock,
      storage: this.#storage,
      line: this.#line,
      random,
      called: (method) => {
        this.#calls[method] = (this.#calls[method] ?? 0) + 1
      },
      held: () => undefined,
    }
    this.#storage.watch?.((change) => {
      for (const node of this.nodes) node.hear(change)
    })
  }

  /** Opens all nodes, one after the other, and starts the jobs. */
  async start(): Promise<void> {
    const { nodes, running, log } = this.#load
    for (let n = 0; n < log; n++) {
      const request = { type: 'scale', id: `old-${n}`, state: 'running', node: 'gone', lease } as const
      const { execution } = await this.#storage.begin(request)
      await this.#storage.finish(execution, { state: 'successful' })
    }
    for (let n = 0; n < nodes; n++) {
      this.#open(`node ${n}`)
      await this.#clock.advance(lease / nodes)
    }
    for (let n = 0; n < running; n++) await this.nodes[n % nodes]?.registry.start('scale', `job-${n}`)
    await this.#clock.advance(minute)
  }

  /** Lets so many minutes pass. Gives what was asked of storage meanwhile. */
  async callsIn(minutes: number): Promise<Calls> {
    this.#calls = {}
    await this.#clock.advance(minutes * minute)
    return this.#calls
  }

  /** Ends a node that has something to do. Gives how many jobs it leaves behind. */
  async kill(): Promise<number> {
    const running = (await this.#storage.live({ type: 'scale' })).hits
    const node = this.nodes.find(({ name }) => running.some((record) => record.node === name))
    if (!node) return 0
    node.health = 'dead'
    this.#line.stall(node)
    return running.filter((record) => record.node === node.name).length
  }

  #open(name: string): void {
    const { running, nodes, defined, types } = this.#load
    const concurrency = Math.ceil((2 * running) / nodes)
    const node = new SimulatedNode(name, this.#host, { lease, concurrency, offset: 0, isListening: true })
    const run = ({ signal, progress }: JobContext) => this.#work(signal, progress)
    for (let n = 0; n < defined; n++) {
      const type = n < running ? 'scale' : `type-${n % types}`
      node.registry.define({ type, id: `job-${n}`, run, resume: 'auto' })
    }
    this.nodes.push(node)
  }

  async #work(signal: AbortSignal, progress: JobContext['progress']): Promise<void> {
    for (let count = 1; !signal.aborted; count++) {
      await new Promise<void>((resolve) => this.#clock.setTimer(step, resolve))
      progress({ count, checkpoint: count })
    }
  }
}
