import type { ExecutionRecord, Progress } from '../../adapter.js'

/** A copy that shares nothing with the original. */
export function copy(execution: ExecutionRecord): ExecutionRecord {
  const { checkpoint, detail, error, failure, params, logTail } = execution
  return {
    ...execution,
    ...(checkpoint !== undefined && { checkpoint: jsonOf(checkpoint) }),
    ...(detail && { detail: jsonOf(detail) }),
    ...(error && { error: [...error] }),
    ...(failure && { failure: jsonOf(failure) }),
    ...(params && { params: jsonOf(params) }),
    ...(logTail && { logTail: [...logTail] }),
  }
}

/** The value that a storage of JSON would return. */
export function jsonOf<Value>(value: Value): Value {
  return JSON.parse(JSON.stringify(value))
}

/** Sets the given fields. A checkpoint of `null` removes the checkpoint. */
export function write(execution: ExecutionRecord, progress: Progress): void {
  const { count, lastId, checkpoint, detail, logTail } = progress
  if (count !== undefined) execution.count = count
  if (lastId !== undefined) execution.lastId = lastId
  if (checkpoint === null) delete execution.checkpoint
  else if (checkpoint !== undefined) execution.checkpoint = jsonOf(checkpoint)
  if (detail) execution.detail = jsonOf(detail)
  if (logTail) execution.logTail = [...logTail]
}
