import assert from 'node:assert/strict'
import { isEnded, type JobContext, JobError, type JobState, type JobStorage, memoryStorage } from 'headgate'
import type { ExecutionRecord, StorageChange } from 'headgate/adapter'
import { fakeClock } from 'headgate/testing'
import { SharedLine } from './scale-line.js'
import { type NodeHost, SimulatedNode } from './scale-node.js'

/** What happens in a world. */
export interface ScalePlan {
  readonly seed: number
  readonly nodes: number
  /** Every how many nodes there is one that storage tells of changes, and that starts jobs. */
  readonly listening: number
  /** How many jobs every node has defined. */
  readonly jobs: number
  /** How many starts are to be accepted. */
  readonly starts: number
  /** How many nodes die, are cut off, freeze, or have their clock put on or back; the line has faults too. */
  readonly crashes: number
}

/** What became of a world. */
export interface ScaleReport {
  readonly minutes: number
  readonly calls: Record<string, number>
  readonly executions: Record<string, number>
  readonly line: SharedLine['faults']
  readonly crashes: Record<Crash, number>
  /** Steps that a job did without its lease, as it did not look: they reach no target. */
  readonly zombieSteps: number
  /** Steps of a job that was sure of its lease on a clock that was put back, and did not have it. */
  readonly deceivedSteps: number
}

type Crash = 'dead' | 'cut' | 'frozen' | 'jump'

/** One run of a job, from a start to a successful end or an abort, over however many executions. */
interface Round {
  readonly number: number
  /** How long each of its steps takes, in milliseconds. */
  readonly steps: readonly number[]
  /** Whether it goes on when its signal aborts. */
  readonly isDeaf: boolean
}

interface SimulatedJob {
  readonly id: string
  round: Round
  /** Its execution, as storage was last seen to hold it under a lease. */
  held: ExecutionRecord | undefined
  /** The state that storage told of last. */
  state: JobState | 'new'
  /** How many steps of the round are in the target. */
  written: number
  readonly functions: Set<{ readonly node: SimulatedNode; readonly context: JobContext }>
}

const lease = 30_000
const concurrency = 2
const minute = 60_000

/** So long after the last change nothing more is expected, in milliseconds. */
const patience = 10 * minute

/** Many nodes that share a storage and a line, and start jobs on each other until there were enough. */
export class ScaleWorld {
  readonly calls: Record<string, number> = {}
  readonly #plan: ScalePlan
  readonly #clock = fakeClock()
  readonly #storage: JobStorage
  readonly #line: SharedLine
  readonly #random: () => number
  #nodes: SimulatedNode[] = []
  #listeners: SimulatedNode[] = []
  readonly #jobs = new Map<string, SimulatedJob>()
  readonly #crashes: Record<Crash, number> = { dead: 0, cut: 0, frozen: 0, jump: 0 }
  readonly #executions: Record<string, number> = { begun: 0, takenOver: 0, successful: 0, aborted: 0, error: 0 }
  readonly #unfinished = new Map<string, SimulatedNode>()
  readonly #broken: string[] = []
  #accepted = 0
  #named = 0
  #lastChange = 0
  #zombieSteps = 0
  #deceivedSteps = 0

  constructor(plan: ScalePlan) {
    this.#plan = plan
    this.#random = seeded(plan.seed)
    this.#storage = memoryStorage({ clock: this.#clock, maxCount: 1_000_000 })
    this.#line = new SharedLine(this.#clock, this.#random, plan.crashes > 0)
    this.#storage.watch?.((change) => this.#hear(change))
    for (let n = 0; n < plan.jobs; n++) {
      const job = { id: `job-${n}`, round: this.#round(0), held: undefined, written: 0, functions: new Set<never>() }
      this.#jobs.set(job.id, { ...job, state: 'new' })
    }
  }

  /** Lets all happen, to the end of the last execution. */
  async run(): Promise<ScaleReport> {
    const { nodes } = this.#plan
    const began = this.#clock.now()
    for (let n = 0; n < nodes; n++) {
      this.#open()
      await this.#clock.advance(lease / nodes)
    }
    for (const job of this.#jobs.values()) this.#startLater(job)
    this.#lastChange = this.#clock.now()
    while (!this.#isDone && this.#broken.length === 0 && this.#clock.now() < this.#lastChange + patience)
      await this.#clock.advance(1000)
    while (this.#waiting.length > 0 && this.#clock.now() < this.#lastChange + patience) await this.#clock.advance(1000)
    await this.#check()
    return {
      minutes: (this.#clock.now() - began) / minute,
      calls: this.calls,
      executions: this.#executions,
      line: this.#line.faults,
      crashes: this.#crashes,
      zombieSteps: this.#zombieSteps,
      deceivedSteps: this.#deceivedSteps,
    }
  }

  get #isDone(): boolean {
    return this.#accepted >= this.#plan.starts && [...this.#jobs.values()].every(isAtRest)
  }

  async #check(): Promise<void> {
    assert.deepEqual(this.#broken.slice(0, 10), [])
    const lost = [...this.#jobs.values()]
      .filter((job) => !isAtRest(job))
      .map(({ id }) => this.#storage.find('scale', id))
    assert.deepEqual(await Promise.all(lost), [], 'executions that never ended')
    assert.deepEqual((await this.#storage.live({ type: 'scale' })).hits, [])
    assert.deepEqual((await this.#storage.orphans()).hits, [])
    assert.deepEqual(this.#waiting, [], 'starts whose `finished` did not resolve')
  }

  /** The executions that a node that still lives has started, and not heard of the end of. */
  get #waiting(): string[] {
    return [...this.#unfinished].filter(([, node]) => node.health !== 'dead').map(([executionId]) => executionId)
  }

  #open(isListening = this.#named % this.#plan.listening === 0): void {
    const host: NodeHost = {
      clock: this.#clock,
      storage: this.#storage,
      line: this.#line,
      random: this.#random,
      called: (method) => {
        this.calls[method] = (this.calls[method] ?? 0) + 1
      },
      held: (record) => this.#hold(record),
    }
    const offset = this.#plan.crashes > 0 ? this.#between(-5 * minute, 5 * minute) : 0
    const options = { lease, concurrency, offset, isListening }
    const node = new SimulatedNode(`node ${this.#named++}`, host, options)
    const work = { resume: 'auto', retry: { limit: 1000 }, run: (it: JobContext) => this.#work(node, it) } as const
    for (const id of this.#jobs.keys()) node.registry.define({ type: 'scale', id, ...work })
    this.#nodes.push(node)
    if (isListening) this.#listeners.push(node)
  }

  #hold(record: ExecutionRecord | undefined): void {
    const job = record && this.#jobs.get(record.id)
    if (!job) return
    const isNew = record.executionId !== job.held?.executionId
    if (isNew && record.resumedFrom === undefined) this.#accepted++
    if (isNew) this.#count(record.resumedFrom === undefined ? 'begun' : 'takenOver')
    if (isNew && job.held && !isEnded(job.state as JobState) && job.state !== 'queued')
      this.#broken.push(`[${job.id}] began while it was ${job.state}`)
    job.held = record
  }

  #hear(change: StorageChange): void {
    const job = this.#jobs.get(change.id) as SimulatedJob
    const wasAborting = job.state === 'aborting'
    job.state = change.state
    this.#lastChange = this.#clock.now()
    if (isEnded(change.state)) this.#ended(job, wasAborting && change.state === 'error' ? 'aborted' : change.state)
    else if (this.#plan.crashes > 0 && this.#random() < 0.02) this.#later(2000, () => this.#abort(job))
    for (const node of this.#listeners) node.hear(change)
  }

  #ended(job: SimulatedJob, state: JobState): void {
    this.#count(state)
    if (state === 'successful' && job.written < job.round.steps.length)
      this.#broken.push(`[${job.id}] ended with ${job.written} of ${job.round.steps.length} steps`)
    // All errors are those of executions that lost their node: somebody has to go on with them.
    if (state === 'error') return
    job.state = state
    job.round = this.#round(job.round.number + 1)
    job.written = 0
    this.#startLater(job)
  }

  #startLater(job: SimulatedJob): void {
    this.#later(2000, () => void this.#start(job))
  }

  async #start(job: SimulatedJob): Promise<void> {
    if (this.#accepted >= this.#plan.starts || !isAtRest(job)) return
    const node = this.#anyNode()
    try {
      const execution = await node.registry.start('scale', job.id)
      this.#unfinished.set(execution.executionId, node)
      void execution.finished.then(() => this.#unfinished.delete(execution.executionId))
      this.#crashSometimes()
    } catch (error) {
      if (!JobError.isInstance(error) || !['already_running', 'storage'].includes(error.code)) throw error
      this.#startLater(job)
    }
  }

  async #abort(job: SimulatedJob): Promise<void> {
    await this.#anyNode()
      .registry.abort('scale', job.id, { timeout: 0 })
      .catch(() => undefined)
  }

  #crashSometimes(): void {
    const { crashes, starts } = this.#plan
    if (this.#random() < crashes / starts) this.#crash()
  }

  #crash(): void {
    const busy = [...this.#jobs.values()].flatMap(({ functions }) => [...functions].map(({ node }) => node))
    const well = busy.filter(({ health }) => health === 'well')
    const node = well[Math.floor(this.#random() * well.length)] ?? this.#anyNode()
    const crash = (['dead', 'cut', 'frozen', 'jump'] as const)[Math.floor(this.#random() * 4)] as Crash
    this.#crashes[crash]++
    if (crash === 'jump') node.jump(this.#between(-3 * minute, 3 * minute))
    else this.#strike(node, crash)
  }

  #strike(node: SimulatedNode, crash: Exclude<Crash, 'jump'>): void {
    node.health = crash
    if (crash !== 'cut') this.#line.stall(node)
    if (crash === 'dead') this.#bury(node)
    else this.#later(2 * minute, () => this.#recover(node))
  }

  #bury(node: SimulatedNode): void {
    this.#nodes = this.#nodes.filter((other) => other !== node)
    this.#listeners = this.#listeners.filter((other) => other !== node)
    for (const { functions } of this.#jobs.values())
      for (const one of functions) if (one.node === node) functions.delete(one)
    this.#later(20_000, () => this.#open(node.isListening))
  }

  #recover(node: SimulatedNode): void {
    node.recover()
    this.#line.rejoin(node)
  }

  /** What every job does: the steps of its round that a checkpoint does not have. */
  async #work(node: SimulatedNode, context: JobContext): Promise<void> {
    const job = this.#jobs.get(context.status.id) as SimulatedJob
    const { number, steps, isDeaf } = job.round
    const one = { node, context }
    job.functions.add(one)
    try {
      const last = context.checkpoint as { round: number; step: number } | undefined
      for (let step = last?.round === number ? last.step : 0; step < steps.length; step++) {
        await new Promise<void>((resolve) => node.clock.setTimer(steps[step] as number, resolve))
        if (!isDeaf) context.signal.throwIfAborted()
        if (job.round.number === number) this.#step(job, one, step)
        context.progress({ count: step + 1, checkpoint: { round: number, step: step + 1 } })
      }
    } finally {
      job.functions.delete(one)
    }
  }

  /** A step writes to the target, unless the job does not hold its lease. */
  #step(job: SimulatedJob, one: { node: SimulatedNode; context: JobContext }, step: number): void {
    const isSure = one.context.isHeld() && !one.context.signal.aborted
    const holders = [...job.functions].filter((other) => this.#isHolder(job, other))
    if (holders.length > 1) this.#broken.push(`[${job.id}] is live twice`)
    if (!holders.includes(one as never)) {
      if (!isSure) this.#zombieSteps++
      else if (one.node.hasTurnedBack) this.#deceivedSteps++
      else this.#broken.push(`[${job.id}] on ${one.node.name} is sure of a lease that it does not hold`)
      return
    }
    if (step > job.written) this.#broken.push(`[${job.id}] has lost a step`)
    job.written = Math.max(job.written, step + 1)
  }

  #isHolder({ held, state }: SimulatedJob, { node, context }: { node: SimulatedNode; context: JobContext }): boolean {
    if (held?.executionId !== context.status.executionId || held.node !== node.name) return false
    return state !== 'new' && !isEnded(state) && (held.leaseUntil ?? 0) > this.#clock.now()
  }

  /** Most are short, a few outlast a lease. */
  #round(number: number): Round {
    const longest = this.#random() < 0.03 ? 30_000 : 800
    const steps = Array.from({ length: 1 + Math.floor(this.#random() * 3) }, () => this.#between(50, longest))
    return { number, steps, isDeaf: this.#random() < 0.3 }
  }

  #anyNode(): SimulatedNode {
    const awake = this.#listeners.filter(({ health }) => health !== 'frozen')
    return awake[Math.floor(this.#random() * awake.length)] as SimulatedNode
  }

  #between(least: number, most: number): number {
    return Math.round(least + this.#random() * (most - least))
  }

  #later(most: number, happen: () => void): void {
    this.#clock.setTimer(this.#between(0, most), happen)
  }

  #count(what: string): void {
    this.#executions[what] = (this.#executions[what] ?? 0) + 1
  }
}

function isAtRest({ state }: SimulatedJob): boolean {
  return state === 'new' || state === 'successful' || state === 'aborted'
}

/** Numbers from 0 up to 1, the same ones for the same seed. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
