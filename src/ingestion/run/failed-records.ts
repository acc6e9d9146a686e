import { read, redactedFields } from '../../core/base/index.js'
import type { Redactor } from '../../core/redaction/index.js'
import { type FailedRecord, type JobRecord, maxFailures } from '../contract/index.js'
import type { DeadLetter } from '../definition/index.js'
import { namesOf, recordJson } from './record-json.js'

/** The limits of what a status shows of a failed record: messages, and characters of one message and of the JSON of the record. */
const limits = { messages: 5, message: 400, record: 2000 }

/** The limits of the fields of the record. */
const fieldBounds = { depth: 4, values: 100, text: 200 }

/** The last failed records of a list, for the status. */
export function failedRecords(
  letters: readonly DeadLetter[],
  redactor: Redactor,
  showsRecords: boolean,
): FailedRecord[] {
  return letters.slice(-maxFailures).map(({ key, time, phase, error, record }) => ({
    ...{ key, time, phase, error: shortened(error) },
    ...(showsRecords && { record: shownRecord(record, redactor) }),
  }))
}

/** The outermost messages, and the innermost one, which names the reason. */
function shortened(messages: readonly string[]): string[] {
  const { length } = messages
  const shown = messages.filter((_, index) => index < limits.messages - 1 || index === length - 1)
  return shown.map((text) => (text.length > limits.message ? `${text.slice(0, limits.message)}…` : text))
}

/** The first fields of a record, as far as they have room. */
function shownRecord(record: JobRecord, redactor: Redactor): JobRecord {
  const copy = redactedFields(firstFields(record), redactor, fieldBounds) as JobRecord
  const fields = Object.entries(JSON.parse(recordJson(copy)) ?? {})
  const shown: [string, unknown][] = []
  let left = limits.record
  for (const [name, value] of fields) {
    left -= JSON.stringify(name).length + JSON.stringify(value).length + 2
    if (left < 0) break
    shown.push([name, value])
  }
  const others = namesOf(record).length - shown.length
  if (others > 0) shown.push(['…', `${others} more ${others === 1 ? 'is' : 'are'} left out.`])
  return Object.fromEntries(shown)
}

/** The fields that may have room: to redact a large text takes a millisecond. */
function firstFields(record: JobRecord): JobRecord {
  const fields: [string, unknown][] = []
  let left = limits.record
  for (const name of namesOf(record)) {
    if (left <= 0) break
    const value = read(record, name)
    left -= name.length + (typeof value === 'string' ? Math.min(value.length, fieldBounds.text) : 1)
    fields.push([name, value])
  }
  return Object.fromEntries(fields)
}

/** The failed records of a stored detail. Others may write to a shared storage, and nothing depends on these. */
export function storedFailures(value: unknown): FailedRecord[] | undefined {
  if (!Array.isArray(value)) return undefined
  const failures = value.filter(isFailedRecord).slice(-maxFailures)
  return failures.length > 0 ? failures : undefined
}

function isFailedRecord(value: unknown): value is FailedRecord {
  const { key, time, phase, error } = Object(value)
  const isNamed = [key, time, phase].every((text) => typeof text === 'string')
  return isNamed && Array.isArray(error) && error.every((text) => typeof text === 'string')
}
