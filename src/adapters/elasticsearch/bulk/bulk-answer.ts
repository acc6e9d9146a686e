import { JobError } from '../../../adapter.js'
import { type Answer, type Failure, failureIn, isBusy, jsonOf, objectIn } from '../client/index.js'

/** What became of the documents of a request, by their places in it. */
export interface BulkOutcome {
  /** How many are new in the index. */
  readonly created: number
  /** How many were removed from it. */
  readonly deleted: number
  /** How many the index had already, or in a newer version. */
  readonly skipped: number
  /** Those to send again. */
  readonly busy: readonly number[]
  /** Those that the server refuses. */
  readonly refused: readonly { readonly place: number; readonly reason: JobError }[]
  /** Why the others were not written, which is no document's fault. */
  readonly fault?: JobError
  /** Why some are to be sent again. */
  readonly reason?: JobError
}

/** What an answer may leave out. */
export const bulkFilter = 'errors,items.*.status,items.*.result,items.*.error'

/** Types of failures that no document causes, but the name of the index or its state. */
const faults: ReadonlySet<string> = new Set([
  'index_not_found_exception',
  'index_closed_exception',
  'invalid_index_name_exception',
  'security_exception',
  'authorization_exception',
])

/** Reads the answer to a `_bulk` of `count` documents. Throws when it is none. `mayConflict` says that a conflict means a skipped document. */
export function readBulkAnswer(answer: Answer, count: number, mayConflict: boolean): BulkOutcome {
  const text = answer.body.toString('latin1')
  // Most answers report no error. They are not parsed: a text inside JSON has no quote without a backslash, so that the counts are exact.
  if (/"errors":\s*false/.test(text.slice(0, 100))) {
    checkCount(occurrences(text, '"status":'), count)
    const [created, deleted] = [occurrences(text, '"result":"created"'), occurrences(text, '"result":"deleted"')]
    return { created, deleted, skipped: 0, busy: [], refused: [] }
  }
  const { items } = objectIn(jsonOf(answer), '`_bulk`')
  if (!Array.isArray(items)) throw new JobError('target', 'Expected the answer to `_bulk` to have `items`.')
  checkCount(items.length, count)
  return outcomeOf(items.map(itemOf), mayConflict)
}

interface Item {
  readonly status: number
  readonly result: unknown
  readonly failure: Failure | undefined
}

function itemOf(item: unknown): Item {
  const { status, result, error } = Object(Object.values(Object(item))[0]) as Record<string, unknown>
  if (typeof status !== 'number')
    throw new JobError('target', 'Expected every item of the answer to `_bulk` to have a `status`.')
  // A document to delete that is not there has the status 404 and no error.
  const isBad = error !== undefined || (status >= 300 && status !== 404)
  return { status, result, failure: isBad ? failureIn(error) : undefined }
}

function outcomeOf(items: readonly Item[], mayConflict: boolean): BulkOutcome {
  let [created, deleted, skipped] = [0, 0, 0]
  const busy: number[] = []
  const refused: { place: number; reason: JobError }[] = []
  let fault: JobError | undefined
  let reason: JobError | undefined
  items.forEach(({ status, result, failure }, place) => {
    if (!failure) {
      if (result === 'created') created++
      if (result === 'deleted') deleted++
    } else if (isBusy(status, failure.type) || (status === 409 && !mayConflict)) {
      busy.push(place)
      reason ??= errorOf(status, failure, true)
    } else if (status === 409) skipped++
    else if (status === 401 || status === 403 || faults.has(failure.type)) fault ??= errorOf(status, failure, false)
    else refused.push({ place, reason: errorOf(status, failure, false) })
  })
  return { created, deleted, skipped, busy, refused, ...(fault && { fault }), ...(reason && { reason }) }
}

function errorOf(status: number, { type, reason }: Failure, isTransient: boolean): JobError {
  const text = [type, reason].filter((part) => part !== '').join(': ') || 'no reason'
  return new JobError('target', `The server refused a document with the status ${status}: ${text}`, { isTransient })
}

function checkCount(found: number, count: number): void {
  if (found === count) return
  throw new JobError('target', `Expected an answer about ${count} documents, got one about ${found}.`, {
    isTransient: false,
  })
}

function occurrences(text: string, part: string): number {
  let count = 0
  for (let at = text.indexOf(part); at >= 0; at = text.indexOf(part, at + part.length)) count++
  return count
}
