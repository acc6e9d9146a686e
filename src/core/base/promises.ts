import { JobError, type JobErrorCode } from './errors.js'
import { answerOf, isThenable } from './isolate.js'

/**
 * Takes over the rejections of promises that nobody awaits: an unhandled one ends the host. Other thenables are left alone, as a query
 * builder begins its query when its `then` is called.
 */
export function ignoreRejections(values: readonly unknown[]): void {
  for (const value of values) {
    if (answerOf(() => isPromise(value)) === true) (value as Promise<unknown>).then(undefined, () => undefined)
  }
}

/** Throws when code of the user returned an array of promises: they were not awaited, and what they do is not done. */
export function refusePromises(code: JobErrorCode, method: string, answer: unknown): void {
  if (!Array.isArray(answer) || !answer.some(isThenable)) return
  ignoreRejections(answer)
  const expected = `Expected ${method} to wait for its work, got an array of promises.`
  throw new JobError(code, `${expected} Await them first: \`await Promise.all(…)\`.`)
}

function isPromise(value: unknown): boolean {
  return value instanceof Promise || Object.prototype.toString.call(value) === '[object Promise]'
}
