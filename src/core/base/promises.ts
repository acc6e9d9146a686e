import { answerOf } from './isolate.js'

/**
 * Takes over the rejections of promises that nobody awaits: an unhandled one ends the host. Other thenables are left alone, as a query
 * builder begins its query when its `then` is called.
 */
export function ignoreRejections(values: readonly unknown[]): void {
  for (const value of values) {
    if (answerOf(() => isPromise(value)) === true) (value as Promise<unknown>).then(undefined, () => undefined)
  }
}

function isPromise(value: unknown): boolean {
  return value instanceof Promise || Object.prototype.toString.call(value) === '[object Promise]'
}
