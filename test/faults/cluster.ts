import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { isLive, type JobStorage } from 'headgate'
import type { ExecutionRecord } from 'headgate/adapter'
import { programOf } from '../support/program.js'
import { type Answer, type NodePlan, type Order, openStorage, type StoragePlan } from './plan.js'
import { expectedFile } from './source.js'

/** A process of a cluster. */
export class ClusterNode {
  readonly name: string
  readonly #process: ChildProcess
  readonly #answers = new Map<number, { resolve(answer: Answer): void; reject(error: Error): void }>()
  readonly ready: Promise<Answer>
  #orders = 0

  constructor(program: string, plan: NodePlan) {
    this.name = plan.name
    this.#process = fork(program, [JSON.stringify(plan)], { execArgv: [] })
    this.#process.on('message', ({ number, ...answer }: Answer & { number: number }) => {
      const waiting = this.#answers.get(number)
      if (answer.error === undefined) waiting?.resolve(answer)
      else waiting?.reject(new Error(answer.error))
    })
    this.ready = this.#answer(0)
    this.ready.catch(() => undefined)
    this.#process.on('exit', () => {
      for (const { reject } of this.#answers.values()) reject(new Error(`Process ${this.name} is gone.`))
    })
  }

  /** Tells the process what to do. Rejects with what that threw, or when the process is gone. */
  async tell(order: Order): Promise<Answer> {
    await this.ready
    const number = ++this.#orders
    const answer = this.#answer(number)
    answer.catch(() => undefined)
    this.#process.send({ number, ...order }, (error) => error && this.#answers.get(number)?.reject(error))
    return answer
  }

  /** Sends a signal to the process. */
  signal(signal: NodeJS.Signals): void {
    this.#process.kill(signal)
  }

  /** Ends the process as a crash would, and waits until it is gone. */
  async kill(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return
    const gone = once(this.#process, 'exit')
    this.#process.kill('SIGKILL')
    await gone
  }

  #answer(number: number): Promise<Answer> {
    return new Promise((resolve, reject) => this.#answers.set(number, { resolve, reject }))
  }
}

/** How to make a cluster. */
export interface ClusterOptions {
  readonly storage: StoragePlan
  /** The Postgres that jobs read. */
  readonly source: string
  /** The kinds of its jobs that read. Default: it has none. */
  readonly kinds?: readonly string[]
  /** How long a lease holds, in milliseconds. */
  readonly lease: number
  /** How many milliseconds every save takes longer than it would. */
  readonly saveDelay?: number
  /** The Postgres in which processes share a line. Default: each has its own. */
  readonly line?: string
}

/** Processes that share a storage, and a look at that storage from outside. */
export class Cluster {
  readonly storage: JobStorage
  readonly folder: string
  readonly nodes = new Map<string, ClusterNode>()
  readonly #options: ClusterOptions
  readonly #program: string
  #count = 0

  private constructor(options: ClusterOptions, program: string, folder: string) {
    this.#options = options
    this.#program = program
    this.folder = folder
    this.storage = openStorage(options.storage)
  }

  /** A cluster of so many processes, all of them ready. */
  static async open(options: ClusterOptions, size: number): Promise<Cluster> {
    const program = await programOf(new URL('node.ts', import.meta.url))
    const cluster = new Cluster(options, program, await mkdtemp(join(tmpdir(), 'headgate-cluster-')))
    const nodes = Array.from({ length: size }, () => cluster.add())
    await Promise.all(nodes.map(({ ready }) => ready))
    return cluster
  }

  /** Starts another process. */
  add(more: Partial<NodePlan> = {}): ClusterNode {
    const name = `node-${++this.#count}`
    const node = new ClusterNode(this.#program, { name, ...this.#options, folder: this.folder, ...more })
    this.nodes.set(name, node)
    return node
  }

  /** Kills a process, and starts another one in its place. */
  async replace(name: string): Promise<void> {
    const node = this.nodes.get(name)
    this.nodes.delete(name)
    await node?.kill()
    this.add()
  }

  /** Starts a job in any of the processes, some of which may be killed meanwhile. */
  async start(type: string, id: string, options: { readonly fullRefresh?: boolean } = {}): Promise<void> {
    while (!(await this.storage.find(type, id))) {
      const nodes = [...this.nodes.values()]
      const node = nodes[Math.floor(Math.random() * nodes.length)]
      await node?.tell({ do: 'start', type, id, ...options }).catch(() => undefined)
    }
  }

  /** Waits until the last execution of a job is what is waited for. */
  async until(
    type: string,
    id: string,
    fits: (record: ExecutionRecord) => boolean,
    timeout = 30_000,
  ): Promise<ExecutionRecord> {
    let seen: ExecutionRecord | undefined
    for (const end = Date.now() + timeout; Date.now() < end; await setTimeout(10)) {
      seen = await this.storage.find(type, id)
      if (seen && fits(seen)) return seen
    }
    throw new Error(`Expected [${type}/${id}] to get there within ${timeout} ms, got ${JSON.stringify(seen)}`)
  }

  /** Waits until a job has come to its end, whoever went on with it. */
  ended(type: string, id: string, timeout?: number): Promise<ExecutionRecord> {
    return this.until(type, id, ({ state, isOrphaned }) => !isLive(state) && !isOrphaned, timeout)
  }

  /** Every ended execution of a job, oldest first. */
  async log(id: string): Promise<ExecutionRecord[]> {
    const found: ExecutionRecord[] = []
    for (let after: string | undefined; ; after = found.at(-1)?.executionId) {
      const { hits } = await this.storage.search({ id, size: 1000, ...(after !== undefined && { searchAfter: after }) })
      found.push(...hits)
      if (hits.length < 1000) return found.reverse()
    }
  }

  /** What a job has written. */
  written(id: string): Promise<string> {
    return readFile(join(this.folder, `${id}.ndjson`), 'utf8')
  }

  /** Whether a job has written what an uninterrupted run would. */
  async isWhole(id: string): Promise<boolean> {
    return (await this.written(id)) === expectedFile
  }

  async close(): Promise<void> {
    await Promise.all([...this.nodes.values()].map((node) => node.kill()))
    await this.storage.close?.()
    await rm(this.folder, { recursive: true, force: true })
  }
}
