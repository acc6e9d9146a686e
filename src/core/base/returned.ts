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
 * function, a target, an error, a query that was not run, a stream that was not finished, a `Response` that is not `ok`, or an array of them,
 * of promises or of rejected results, or an object, a `Set` or a `Map` of promises. Anything else that a function returns is ignored. An error that a job returns is thrown as one that it throws.
 */
export function checkDone(code: JobErrorCode, method: string, answer: unknown): void {
  if (typeof answer !== 'function' && (typeof answer !== 'object' || answer === null)) return
  const undone = answerOf(() => undoneBy(answer)) as Undone | undefined
  if (!undone) return
  const { found, remedy, ...cause } = undone
  const message = `Expected ${method} to have done its work, got ${found}. ${remedy}`
  throw code === 'invalid_options' && undone.cause !== undefined
    ? new Error(message, cause)
    : new JobError(code, message, cause)
}

function undoneBy(answer: object): Undone | undefined {
  if (!Array.isArray(answer)) return promiseIn(answer) ?? undoneIn(answer) ?? refusedBy(answer)
  const items: unknown[] = answer.flat(maxDepth)
  if (items.some(isThenable)) return pending('an array', items)
  const objects = items.filter((item) => typeof item === 'object')
  const undone = rejectedIn(items) ?? objects.map(undoneIn).find((found) => found !== undefined)
  return undone && { ...undone, found: `an array with ${undone.found}` }
}

/** How deep arrays in an array are looked into, as one of chunks has them. */
const maxDepth = 3

/** A promise among the values of a plain object, a `Set` or a `Map`. */
function promiseIn(answer: object): Undone | undefined {
  const tag = tagOf(answer)
  if (tag === 'Set' || tag === 'Map') {
    const items: unknown[] = [...(answer as Set<unknown> | Map<unknown, unknown>).values()].flat(maxDepth)
    return items.some(isThenable) ? pending(`a ${tag}`, items) : undefined
  }
  const prototype: unknown = Object.getPrototypeOf(answer)
  if (prototype !== null && prototype !== Object.prototype) return undefined
  const values: unknown[] = Object.values(answer)
  return values.some(isThenable) ? pending('an object', values) : undefined
}

function pending(what: string, values: readonly unknown[]): Undone {
  ignoreRejections(values)
  return { found: `${what} of promises`, remedy: 'Await them first: `await Promise.all(…)`.' }
}

function undoneIn(answer: unknown): Undone | undefined {
  if (typeof answer === 'function') {
    return { found: 'a function that was not called', remedy: 'Give that function itself, or call it.' }
  }
  if (isGenerator(answer)) {
    return { found: 'a generator, whose code has not run', remedy: 'Write the function without `*`.' }
  }
  if (isError(answer)) return { found: 'an error', remedy: 'Throw it.', cause: answer }
  if (isUnrunQuery(answer)) {
    return { found: 'a query that was not run', remedy: 'Run it, and wait for it: `await query.execute()`.' }
  }
  if (isUnfinishedStream(answer)) {
    const remedy =
      'Wait until it is: `await pipeline(…)`, or `await finished(stream)` after its `end()`, of `node:stream/promises`.'
    return { found: 'a stream that was not finished', remedy }
  }
  const { open, kind, status, ok } = Object(answer) as Record<string, unknown>
  if (isResponse(answer) && ok === false) {
    return { found: `a Response with the status ${status}`, remedy: 'Throw an error when its `ok` is false.' }
  }
  if (typeof open !== 'function' || typeof kind !== 'string') return undefined
  return { found: 'a target', remedy: 'Give the target itself, in place of a function that returns it.' }
}

/** What clients answer in place of throwing. Rows in an array may have such columns. These are `{ error }`, `{ ok: false }`, and `{ errors: true }` of a search engine's bulk request. */
function refusedBy(answer: unknown): Undone | undefined {
  const { error, errors, ok } = Object(answer ?? {}) as Record<string, unknown>
  if (isError(error) || typeof Object(error ?? {}).message === 'string')
    return { found: 'an object with an `error`', remedy: 'Throw it.', cause: error }
  if (errors === true) return { found: 'an object whose `errors` is true', remedy: 'Throw an error when it is.' }
  return ok === false ? { found: 'an object whose `ok` is false', remedy: 'Throw an error when it is.' } : undefined
}

/** What it means that values are the results of `Promise.allSettled`, and that one of them was rejected. */
export function rejectedIn(values: readonly unknown[]): Undone | undefined {
  const rejected = values.every(isSettled) && values.find(({ status }) => status === 'rejected')
  if (!rejected) return undefined
  const remedy = 'Use `Promise.all`, or throw its `reason`.'
  return { found: 'a rejected result', remedy, cause: rejected.reason }
}

/** Rows with a column `status` have other columns too, or none of these. */
function isSettled(value: unknown): value is { readonly status: string; readonly reason?: unknown } {
  const item = Object(value ?? {}) as Record<string, unknown>
  const [result] = item.status === 'fulfilled' ? ['value'] : item.status === 'rejected' ? ['reason'] : []
  return result !== undefined && Object.hasOwn(item, result) && Object.keys(item).length === 2
}

/** Whether a value is an error, also of another realm. */
export function isError(value: unknown): boolean {
  return answerOf(() => value instanceof Error || tagOf(value) === 'Error') === true
}

/** Whether a value is a generator: its code runs when something iterates over it. Compilers make such objects for older languages too. */
export function isGenerator(value: unknown): boolean {
  const { next, throw: throws } = Object(value ?? {}) as Record<string, unknown>
  return typeof next === 'function' && typeof throws === 'function'
}

/** Whether a value is a query of a builder that only `execute()` runs, such as one of Kysely. */
function isUnrunQuery(value: unknown): boolean {
  const query = Object(value ?? {}) as Record<string, unknown>
  const texts = ['compile', 'toSQL', 'getSQL', 'getQuery', 'toQuery', 'toOperationNode']
  return typeof query.execute === 'function' && texts.some((name) => typeof query[name] === 'function')
}

/** Whether a value is a writable stream of Node that has yet to write what it holds, or cannot any more. Some loggers are streams too, and those of the process never end. */
function isUnfinishedStream(value: unknown): boolean {
  const { write, end, writableFinished, info, _isStdio: isStdio } = Object(value ?? {}) as Record<string, unknown>
  const isStream = typeof write === 'function' && typeof end === 'function'
  return isStream && writableFinished === false && info === undefined && isStdio !== true
}

/** Whether a value is a `Response` of `fetch`, here or in a package. */
export function isResponse(value: unknown): boolean {
  return tagOf(value) === 'Response'
}

function tagOf(value: unknown): string {
  return Object.prototype.toString.call(value).slice('[object '.length, -1)
}
