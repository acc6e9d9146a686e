import { type Failure, type Redactor, redactedFields } from '../../adapter.js'
import type { JobStatus } from '../../index.js'
import type { DetailOf, WireDetail, WireFailure } from '../../wire/index.js'
import { fitted } from './fitted-json.js'
import { maxShownLog, ShownLogs } from './shown-logs.js'

/**
 * The limits of a detail: characters of the JSON of `params`, of `progress` and of `checkpoint`, of a stack, and of any other text but the log. The
 * progress of an ingestion that lists partitions and failed records fits.
 */
const limits = { params: 16_384, progress: 65_536, checkpoint: 16_384, stack: 4000, text: 1000 }

/** Wider than what was fitted before, so that redacting cuts nothing. */
const redactBounds = { depth: 64, values: limits.progress, text: 2 * limits.progress }

/** Returns a function that makes the detail of a status: bounded, secrets in the data of the job redacted. */
export function detailsBy(redactor: Redactor): DetailOf {
  const json = <Value>(value: Value, limit: number) =>
    redactedFields(fitted(value, redactor, limit), redactor, redactBounds) as Value
  const logs = new ShownLogs(redactor)
  return (status) => {
    const { executionId, node, resumedFrom, abortReason, params, detail, checkpoint } = status
    const log = 'log' in status ? status.log : undefined
    const lease = 'lease' in status ? status.lease : undefined
    const failure = 'failure' in status ? status.failure : undefined
    return {
      execution_id: executionId,
      ...(node !== undefined && { node: node.slice(0, limits.text) }),
      ...(lease && { lease }),
      ...(resumedFrom !== undefined && { resumed_from: resumedFrom.slice(0, limits.text) }),
      ...(abortReason !== undefined && { abort_reason: redactor.shorten(abortReason, limits.text) }),
      ...(params !== undefined && { params: json(params, limits.params) }),
      ...(log !== undefined && { log: logs.of(executionId, log) }),
      ...(failure && { failure: shownFailure(failure, redactor) }),
      ...(detail !== undefined && { progress: json(detail, limits.progress) }),
      ...(checkpoint !== undefined && { checkpoint: json(checkpoint, limits.checkpoint) }),
    } satisfies WireDetail
  }
}

/** Its texts were redacted when they were written, unless that was by others. */
function shownFailure({ isTransient, ...failure }: Failure, redactor: Redactor): WireFailure {
  const { code, attempts, place, stack, retries } = failure
  const shown = (text: string, limit: number) => redactor.shorten(text, limit)
  return {
    ...(code !== undefined && { code }),
    is_transient: isTransient,
    attempts,
    ...(place !== undefined && { place: shown(place, limits.text * 2) }),
    ...(stack !== undefined && { stack: shown(stack, limits.stack) }),
    ...(retries && { retries: retries.map(({ time, error }) => ({ time, error: shown(error, limits.text) })) }),
  }
}

/** Estimates the length of the detail of a status on the wire, in characters. */
export function lengthOfDetail(status: JobStatus): number {
  const { params, detail, checkpoint } = status
  const log = ('log' in status && status.log) || []
  const failure = 'failure' in status ? JSON.stringify(status.failure).length : 0
  const lines = log.reduce((sum, line) => sum + line.length + 3, 0)
  const lengthIn = (value: unknown, limit: number) => (value ? Math.min(JSON.stringify(value).length, limit) : 0)
  const texts =
    lengthIn(params, limits.params) + lengthIn(detail, limits.progress) + lengthIn(checkpoint, limits.checkpoint)
  return 300 + failure + Math.min(lines, maxShownLog) + texts
}
