import { type Redactor, redactedFields } from '../../adapter.js'
import type { JobStatus } from '../../index.js'
import type { DetailOf, WireDetail } from '../../wire/index.js'
import { fitted } from './fitted-json.js'

/**
 * The limits of a detail: characters of the JSON of `params`, of `progress`, and of `log`, and of any other text. The progress of an
 * ingestion that lists partitions and failed records fits.
 */
const limits = { params: 16_384, progress: 65_536, log: 32_768, text: 1000 }

/** Wider than what was fitted before, so that redacting cuts nothing. */
const redactBounds = { depth: 64, values: limits.progress, text: 2 * limits.progress }

/** Returns a function that makes the detail of a status: bounded, secrets in the data of the job redacted. */
export function detailsBy(redactor: Redactor): DetailOf {
  const json = (value: object, limit: number) =>
    redactedFields(fitted(value, redactor, limit), redactor, redactBounds) as Record<string, unknown>
  return (status) => {
    const { executionId, node, resumedFrom, abortReason, params, detail } = status
    const log = 'log' in status ? status.log : undefined
    return {
      execution_id: executionId,
      ...(node !== undefined && { node: node.slice(0, limits.text) }),
      ...(resumedFrom !== undefined && { resumed_from: resumedFrom.slice(0, limits.text) }),
      ...(abortReason !== undefined && { abort_reason: redactor.shorten(abortReason, limits.text) }),
      ...(params !== undefined && { params: json(params, limits.params) }),
      ...(log !== undefined && { log: lastLines(log) }),
      ...(detail !== undefined && { progress: json(detail, limits.progress) }),
    } satisfies WireDetail
  }
}

/** The last lines that fit. The first one says how many do not. */
function lastLines(lines: readonly string[]): string[] {
  let first = lines.length
  for (let left = limits.log; first > 0; first--) {
    left -= jsonLength(lines[first - 1] ?? '')
    if (left < 0) break
  }
  const shown = lines.slice(first)
  return first === 0 ? shown : [`${first} earlier lines are left out.`, ...shown]
}

/** What JSON writes in another way. */
const escaped = /["\\\p{Cc}\p{Cs}]/u

function jsonLength(text: string): number {
  return escaped.test(text) ? JSON.stringify(text).length : text.length + 2
}

/** Estimates the length of the detail of a status on the wire, in characters. */
export function lengthOfDetail(status: JobStatus): number {
  const { params, detail } = status
  const log = ('log' in status && status.log) || []
  const lines = log.reduce((sum, line) => sum + line.length + 3, 0)
  const lengthIn = (value: object | undefined, limit: number) =>
    value ? Math.min(JSON.stringify(value).length, limit) : 0
  const texts = lengthIn(params, limits.params) + lengthIn(detail, limits.progress)
  return 300 + Math.min(lines, limits.log) + texts
}
