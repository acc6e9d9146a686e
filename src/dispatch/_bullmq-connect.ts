import { setTimeout } from 'node:timers/promises'
import { createAbortController } from '../index.js'

/** How BullMQ makes what a queue, or a worker, asks its engine with. */
export type BackendFactory = (...options: never[]) => unknown

/** What the queues of a dispatcher are reached by. */
export interface Connect {
  readonly connection: object
  readonly backend: BackendFactory | undefined
  readonly prefix: string | undefined
  /** How long a turn is kept for a process that gives no sign of life, in milliseconds. */
  readonly lockDuration: number
  /** Aborts when turns are to be given back. */
  readonly left: AbortSignal
}

/** What a queue of BullMQ, or a worker, is reached by. */
interface Connected {
  getBackend(): { close(force: boolean): Promise<unknown>; reconnectBlocking(): Promise<unknown> }
}

/** The pool that BullMQ's backend for Postgres keeps, as far as it is needed to cut it off. */
interface Pooled {
  readonly connection?: {
    readonly ownsPool?: boolean
    readonly pool?: { readonly _clients?: readonly { readonly connection?: { readonly stream?: Destroyable } }[] }
  }
}

/** A queue of BullMQ that is read. */
interface Readable<Job> {
  getRanges(states: State[], start: number, end: number, ascending: boolean): Promise<string[]>
  getJob(id: string): Promise<Job>
}

type State = 'waiting' | 'prioritized' | 'delayed'

interface Destroyable {
  destroy(): unknown
}

/** The options that all queues and workers of a dispatcher share. */
export function sharedOptions({ connection, prefix }: Connect): { connection: never; prefix?: string } {
  return { connection: connection as never, ...(prefix !== undefined && { prefix }) }
}

/** Waits for `work` for `patience` milliseconds at most. Never rejects: who closes has heard of failures before. */
export async function waitBriefly(work: Promise<unknown>, patience: number): Promise<void> {
  const settled = work.then(
    () => undefined,
    () => undefined,
  )
  const timeUp = createAbortController()
  await Promise.race([settled, setTimeout(patience, undefined, { signal: timeUp.signal }).catch(() => undefined)])
  timeUp.abort()
}

/**
 * Ends the connections of a queue or a worker without waiting for commands: they may wait for an engine that is away, for
 * ever, and keep the process alive.
 */
export async function disconnect(connected: Connected, patience: number): Promise<void> {
  const backend = connected.getBackend()
  // A worker that was paused connects again when its connection has ended, which a server that hangs puts off.
  backend.reconnectBlocking = async () => undefined
  await waitBriefly(backend.close(true), patience)
  const { ownsPool, pool } = (backend as Pooled).connection ?? {}
  if (ownsPool) for (const client of pool?._clients ?? []) client.connection?.stream?.destroy()
}

/** Calls `listener` whenever the engine can be reached, again or for the first time. */
export function onReady(connected: Connected, listener: () => void): void {
  const backend = connected.getBackend() as { on?(event: 'ready', listener: () => void): unknown }
  backend.on?.('ready', listener)
}

/**
 * The first jobs of a queue in these states. One without `job` cannot be read: BullMQ itself gives none at all where there
 * is such a one.
 */
export async function readJobs<Job>(
  queue: Readable<Job>,
  states: State[],
  count: number,
): Promise<{ id: string; job: Job | undefined }[]> {
  const ids = count === 0 ? [] : await queue.getRanges(states, 0, count - 1, true)
  const read = async (id: string) => ({ id, job: await queue.getJob(id).catch(noneIfUnreadable) })
  return Promise.all([...new Set(ids)].map(read))
}

function noneIfUnreadable(error: unknown): undefined {
  if (error instanceof SyntaxError || error instanceof TypeError) return undefined
  throw error
}
