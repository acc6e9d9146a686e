import type { Clock, Timer } from './clock.js'
import { JobError } from './errors.js'

/** Calls a method of an adapter, which the messages name if it is given. */
export type TimedCall = <Answer>(ask: () => Promise<Answer>, method?: string) => Promise<Answer>

/**
 * Limits calls of an adapter to `timeout` milliseconds. After that, and for errors other than a `JobError`, the call fails with the
 * adapter's code, so that a hanging connection does not block its callers.
 */
export function timedCalls(adapter: 'storage' | 'dispatcher', clock: Clock, timeout: number): TimedCall {
  const late = (method?: string) =>
    new JobError(adapter, `The ${adapter} gave no answer${nameOf(method, ' to')} within ${timeout} ms.`, {
      isTransient: true,
    })
  return (ask, method) =>
    new Promise((resolve, reject) => {
      let timer: Timer | undefined
      let hasSettled = false
      const settle = () => {
        hasSettled = true
        timer?.cancel()
      }
      started(ask).then(
        (answer) => {
          settle()
          resolve(answer)
        },
        (error) => {
          settle()
          reject(adapterFailure(adapter, error, method))
        },
      )
      // A timer costs more than an answer from memory, which has arrived by the next microtask.
      queueMicrotask(() => {
        if (!hasSettled) timer = clock.setTimer(timeout, () => reject(late(method)))
      })
    })
}

/** The error for what an adapter threw: a `JobError` as it is, else one with the adapter's code. `kind` is that of the adapter. */
export function adapterFailure(
  adapter: 'storage' | 'dispatcher' | 'datasource' | 'target',
  error: unknown,
  method?: string,
  kind?: unknown,
): JobError {
  if (JobError.isInstance(error)) return error
  const shown = typeof kind === 'string' ? `${adapter} [${kind}]` : adapter
  return new JobError(adapter, `The ${shown} could not answer${nameOf(method)}.`, { cause: error })
}

/** Calls the adapter. A synchronous error becomes a rejection. */
function started<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
  try {
    return Promise.resolve(ask())
  } catch (error) {
    return Promise.reject(error)
  }
}

function nameOf(method: string | undefined, preposition = ''): string {
  return method === undefined ? '' : `${preposition} \`${method}\``
}
