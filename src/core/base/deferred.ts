/** A promise, and the function that resolves it. */
export interface Deferred<Value> {
  readonly promise: Promise<Value>
  readonly resolve: (value: Value) => void
}

/** Creates a promise that is resolved from outside. */
export function deferred<Value>(): Deferred<Value> {
  let resolve: Deferred<Value>['resolve'] = () => undefined
  const promise = new Promise<Value>((itsResolve) => {
    resolve = itsResolve
  })
  return { promise, resolve }
}
