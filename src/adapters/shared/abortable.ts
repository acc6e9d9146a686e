/** Waits for promises until a signal aborts, with one listener for all, which `dispose` removes. */
export class Abortable {
  readonly #signal: AbortSignal
  #reject: (reason: unknown) => void = () => undefined

  constructor(signal: AbortSignal) {
    this.#signal = signal
    signal.addEventListener('abort', this.#abort)
  }

  /**
   * Resolves or rejects with `promise`, unless the signal aborts first. Then rejects with its reason. One call at a
   * time.
   */
  wait<Value>(promise: PromiseLike<Value>): Promise<Value> {
    return new Promise((resolve, reject) => {
      this.#reject = reject
      promise.then(resolve, reject)
      if (this.#signal.aborted) this.#abort()
    })
  }

  dispose(): void {
    this.#signal.removeEventListener('abort', this.#abort)
  }

  readonly #abort = () => this.#reject(this.#signal.reason)
}
