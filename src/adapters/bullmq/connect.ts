import { setTimeout } from 'node:timers/promises'
import { createAbortController } from '../../adapter.js'
import { backendOf } from './backend.js'
import { type BackendFactory, destroyClients } from './postgres.js'
import { clearSilenceTimers } from './redis.js'

/** The connection options of the queues of a dispatcher. */
export interface Connect {
  /** The package `bullmq`, which is loaded when it is first needed. Untyped, as its types must not become public. */
  readonly driver: object
  readonly connection: object
  readonly backend: BackendFactory | undefined
  readonly prefix: string | undefined
  /** How long a slot is kept for a process without a sign of life, in milliseconds. */
  readonly lockDuration: number
  /** Aborts when slots are to be released. */
  readonly closing: AbortSignal
}

/** The part of a BullMQ queue that is read. */
interface Readable<Job> {
  getRanges(states: State[], start: number, end: number, ascending: boolean): Promise<string[]>
  getJob(id: string): Promise<Job>
}

type State = 'waiting' | 'prioritized' | 'delayed'

/** The options that all queues and workers of a dispatcher share. */
export function sharedOptions({ connection, prefix }: Connect): { connection: never; prefix?: string } {
  return { connection: connection as never, ...(prefix !== undefined && { prefix }) }
}

/** Waits for `work` for at most `timeout` milliseconds. Never rejects: failures were reported before. */
export async function waitBriefly(work: Promise<unknown>, timeout: number): Promise<void> {
  const settled = work.then(
    () => undefined,
    () => undefined,
  )
  const timeUp = createAbortController()
  await Promise.race([settled, setTimeout(timeout, undefined, { signal: timeUp.signal }).catch(() => undefined)])
  timeUp.abort()
}

/**
 * Closes the connections of a queue or worker without waiting for commands, which may wait forever for an engine that
 * is down and keep the process alive.
 */
export async function disconnect(connected: object, timeout: number): Promise<void> {
  const backend = backendOf(connected)
  // A paused worker would connect again when its connection has ended, which a hanging server delays.
  backend.reconnectBlocking = async () => undefined
  await waitBriefly(backend.close(true), timeout)
  destroyClients(backend)
  clearSilenceTimers(backend)
}

/** Calls `listener` whenever a connection to the engine is established. */
export function onReady(connected: object, listener: () => void): void {
  backendOf(connected).on?.('ready', listener)
}

/**
 * Returns the first jobs of a queue in these states. A job that cannot be read has no `job`; BullMQ itself would
 * return none at all.
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

/** What an error says. An error about several addresses has a code only. */
export function reasonOf(error: unknown): string {
  const { message, code } = Object(error) as { message?: unknown; code?: unknown }
  return String(message || code || error)
}
