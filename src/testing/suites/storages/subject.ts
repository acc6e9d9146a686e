import assert from 'node:assert/strict'
import type { BeginRequest, ExecutionRecord, FinishRequest, LeaseToken } from '../../../adapter.js'
import type { JobStorage } from '../../../index.js'

/** What a case of the storage suite is about. */
export interface StorageSubject {
  readonly storage: JobStorage
  /** Another storage over the same data. */
  readonly peer: JobStorage
  /** Lets time pass for the storage. */
  pass(ms: number): Promise<void>
  /** Whether `pass` moves the storage's clock, so that years may pass. */
  readonly movesTime: boolean
  /** How long a change may take to reach the listeners of `watch`, in milliseconds of real time. */
  readonly watchTimeout: number
}

/** A lease that no case sees the end of, in milliseconds. */
export const longLease = 60_000

/** A lease that cases let run out, in milliseconds: short, for storages whose time is real. */
export const shortLease = 200

/** The request to begin job `[test/a]`, unless said. */
export function request(overrides: Partial<BeginRequest> = {}): BeginRequest {
  return { type: 'test', id: 'a', state: 'running', node: 'node-1', lease: longLease, ...overrides }
}

/** Begins an execution that nothing stands in the way of. */
export async function begin(storage: JobStorage, overrides: Partial<BeginRequest> = {}): Promise<ExecutionRecord> {
  const { started, execution } = await storage.begin(request(overrides))
  assert.equal(started, true, 'Expected the execution to be started')
  return execution
}

/** Runs an execution from begin to end. */
export async function runThrough(
  storage: JobStorage,
  overrides: Partial<BeginRequest> = {},
  end: FinishRequest = { state: 'successful' },
): Promise<ExecutionRecord> {
  const execution = await begin(storage, overrides)
  return present(await storage.finish(leaseOf(execution), end))
}

/** Begins an execution and lets its lease run out. */
export async function expire(
  { storage, pass }: StorageSubject,
  overrides: Partial<BeginRequest> = {},
): Promise<ExecutionRecord> {
  const execution = await begin(storage, { lease: shortLease, ...overrides })
  await pass(shortLease + 50)
  return execution
}

/** The lease of an execution. */
export function leaseOf({ executionId, epoch }: ExecutionRecord): LeaseToken {
  return { executionId, epoch }
}

/** The live executions of a type, oldest first. */
export async function liveOf(storage: JobStorage, type = 'test'): Promise<ExecutionRecord[]> {
  return (await storage.live({ type })).hits
}

/** The orphans, oldest first. */
export async function orphansOf(storage: JobStorage): Promise<ExecutionRecord[]> {
  return (await storage.orphans()).hits
}

/** Begins an execution that any node may claim. */
export function beginUnclaimed(storage: JobStorage, overrides: Partial<BeginRequest> = {}): Promise<ExecutionRecord> {
  return begin(storage, { state: 'queued', node: null, lease: null, ...overrides })
}

/** What must not be `undefined`. */
export function present<Value>(value: Value | undefined): Value {
  assert.notEqual(value, undefined, 'Expected an execution, got undefined')
  return value as Value
}
