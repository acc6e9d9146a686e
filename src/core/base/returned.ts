import { JobError, type JobErrorCode } from './errors.js'
import { answerOf, isThenable } from './isolate.js'
import { ignoreRejections } from './promises.js'

/** What a function returned in place of doing its work, and how to do it. */
interface Undone {
  /** Completes "got …". */
  readonly found: string
  readonly remedy: string
  /** Why the work is not done, if the answer says so. */
  readonly cause?: unknown
}

/**
 * Throws `code` when a function of the user returned what can only mean that its work is not done: a generator, whose code has not run, a
 * function, a target, an error, a `Response` that is not `ok`, or an array of them, of promises or of rejected results. Anything else that a
 * function returns is ignored.
 */
export function checkDone(code: JobErrorCode, method: string, answer: unknown): void {
  if (typeof answer !== 'function' && (typeof answer !== 'object' || answer === null)) return
  const undone = answerOf(() => undoneBy(answer)) as Undone | undefined
  if (!undone) return
  const { found, remedy, ...cause } = undone
  throw new JobError(code, `Expected ${method} to have done its work, got ${found}. ${remedy}`, cause)
}

function undoneBy(answer: object): Undone | undefined {
  if (!Array.isArray(answer)) return undoneIn(answer)
  if (answer.some(isThenable)) {
    ignoreRejections(answer)
    return { found: 'an array of promises', remedy: 'Await them first: `await Promise.all(…)`.' }
  }
  for (const item of answer) {
    const undone = rejectedIn(item) ?? (typeof item === 'object' ? undoneIn(item) : undefined)
    if (undone) return { ...undone, found: `an array with ${undone.found}` }
  }
  return undefined
}

function undoneIn(answer: unknown): Undone | undefined {
  if (typeof answer === 'function') {
    return { found: 'a function that was not called', remedy: 'Give that function itself, or call it.' }
  }
  if (isGenerator(answer)) {
    return { found: 'a generator, whose code has not run', remedy: 'Write the function without `*`.' }
  }
  if (answer instanceof Error || tagOf(answer) === 'Error') {
    return { found: 'an error', remedy: 'Throw it.', cause: answer }
  }
  const { open, kind, status, ok } = Object(answer) as Record<string, unknown>
  if (isResponse(answer) && ok === false) {
    return { found: `a Response with the status ${status}`, remedy: 'Throw an error when its `ok` is false.' }
  }
  if (typeof open !== 'function' || typeof kind !== 'string') return undefined
  return { found: 'a target', remedy: 'Give the target itself, in place of a function that returns it.' }
}

/** A result of `Promise.allSettled`. */
function rejectedIn(item: unknown): Undone | undefined {
  const { status, reason } = Object(item ?? {}) as Record<string, unknown>
  if (status !== 'rejected' || !Object.hasOwn(Object(item), 'reason')) return undefined
  return { found: 'a rejected result', remedy: 'Use `Promise.all`, or throw its `reason`.', cause: reason }
}

/** Whether a value is a generator: its code runs when something iterates over it. Compilers make such objects for older languages too. */
export function isGenerator(value: unknown): boolean {
  const { next, throw: throws } = Object(value ?? {}) as Record<string, unknown>
  return typeof next === 'function' && typeof throws === 'function'
}

/** Whether a value is a `Response` of `fetch`, here or in a package. */
export function isResponse(value: unknown): boolean {
  return tagOf(value) === 'Response'
}

function tagOf(value: unknown): string {
  return Object.prototype.toString.call(value).slice('[object '.length, -1)
}
