import { type Redactor, redactedFields } from '../../adapter.js'
import type { JobStatus } from '../../index.js'
import type { DetailOf, WireDetail } from '../../wire/index.js'
import { fitted } from './fitted-json.js'

/**
 * The limits of a detail: characters of the JSON of `params`, of `progress`, of `checkpoint` and of `log`, and of any other text. The progress of an
 * ingestion that lists partitions and failed records fits.
 */
const limits = { params: 16_384, progress: 65_536, checkpoint: 16_384, log: 32_768, text: 1000 }

/** Wider than what was fitted before, so that redacting cuts nothing. */
const redactBounds = { depth: 64, values: limits.progress, text: 2 * limits.progress }

/** Returns a function that makes the detail of a status: bounded, secrets in the data of the job redacted. */
export function detailsBy(redactor: Redactor): DetailOf {
  const json = <Value>(value: Value, limit: number) =>
    redactedFields(fitted(value, redactor, limit), redactor, redactBounds) as Value
  const lines = new RedactedLines(redactor)
  return (status) => {
    const { executionId, node, resumedFrom, abortReason, params, detail, checkpoint } = status
    const log = 'log' in status ? status.log : undefined
    const lease = 'lease' in status ? status.lease : undefined
    return {
      execution_id: executionId,
      ...(node !== undefined && { node: node.slice(0, limits.text) }),
      ...(lease && { lease }),
      ...(resumedFrom !== undefined && { resumed_from: resumedFrom.slice(0, limits.text) }),
      ...(abortReason !== undefined && { abort_reason: redactor.shorten(abortReason, limits.text) }),
      ...(params !== undefined && { params: json(params, limits.params) }),
      ...(log !== undefined && { log: lines.last(log) }),
      ...(detail !== undefined && { progress: json(detail, limits.progress) }),
      ...(checkpoint !== undefined && { checkpoint: json(checkpoint, limits.checkpoint) }),
    } satisfies WireDetail
  }
}

/** How many redacted lines are remembered: readers ask for the same ones again and again. */
const maxKnown = 1000

/** The time at the beginning of a line, in which nothing is secret. */
const timeOfLine = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z /

/** Redacts the lines of logs. They were redacted when they were written, unless that was by others. */
class RedactedLines {
  readonly #redactor: Redactor
  readonly #known = new Map<string, string>()

  constructor(redactor: Redactor) {
    this.#redactor = redactor
  }

  /** The last lines that fit. The first one says how many do not. */
  last(lines: readonly string[]): string[] {
    const shown: string[] = []
    let left = limits.log
    for (let at = lines.length - 1; at >= 0; at--) {
      const line = this.#redacted(lines[at] ?? '')
      left -= jsonLength(line)
      if (left < 0) return [`${at + 1} earlier lines are left out.`, ...shown.reverse()]
      shown.push(line)
    }
    return shown.reverse()
  }

  #redacted(line: string): string {
    const known = this.#known.get(line)
    if (known !== undefined) return known
    const [time = ''] = timeOfLine.exec(line) ?? []
    const redacted = time + this.#redactor.shorten(line.slice(time.length), limits.text)
    // Longer ones come from others, and would take more memory.
    if (line.length > limits.text) return redacted
    if (this.#known.size >= maxKnown) this.#known.clear()
    this.#known.set(line, redacted)
    return redacted
  }
}

/** What JSON writes in another way. */
const escaped = /["\\\p{Cc}\p{Cs}]/u

function jsonLength(text: string): number {
  return escaped.test(text) ? JSON.stringify(text).length : text.length + 2
}

/** Estimates the length of the detail of a status on the wire, in characters. */
export function lengthOfDetail(status: JobStatus): number {
  const { params, detail, checkpoint } = status
  const log = ('log' in status && status.log) || []
  const lines = log.reduce((sum, line) => sum + line.length + 3, 0)
  const lengthIn = (value: unknown, limit: number) => (value ? Math.min(JSON.stringify(value).length, limit) : 0)
  const texts =
    lengthIn(params, limits.params) + lengthIn(detail, limits.progress) + lengthIn(checkpoint, limits.checkpoint)
  return 300 + Math.min(lines, limits.log) + texts
}
