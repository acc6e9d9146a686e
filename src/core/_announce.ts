import type { IsolatedEmitter, JobEventName } from './events.js'
import { toStatus } from './status.js'
import type { ExecutionRecord } from './storage.js'

/** Tells of a change: as `status`, and by the name of its own. */
export function announce(
  emitters: readonly IsolatedEmitter[],
  record: ExecutionRecord,
  change: 'state' | 'progress',
  cause?: unknown,
): void {
  const { type, id, state } = record
  const event = { type, id, status: toStatus(record), ...(cause !== undefined && { cause }) }
  const name: JobEventName = change === 'progress' ? 'progress' : state
  for (const emitter of emitters) {
    emitter.emit('status', event)
    emitter.emit(name, event as never)
  }
}
