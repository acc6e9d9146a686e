import type { Clock, Timer } from './clock.js'
import { hasMessage, JobError } from './errors.js'
import { checkDone } from './returned.js'

/** Calls a method of an adapter, which the messages name if it is given, and reads its answer. */
export type TimedCall = <Answer>(
  ask: () => Promise<unknown>,
  method: string | undefined,
  read: (answer: unknown) => Answer | Promise<Answer>,
) => Promise<Answer>

/**
 * Limits calls of an adapter to `timeout` milliseconds. After that, and for errors other than a `JobError`, the call fails with the
 * adapter's code, so that a hanging connection does not block its callers.
 */
export function timedCalls(adapter: 'storage' | 'dispatcher', clock: Clock, timeout: number): TimedCall {
  const late = (method?: string) =>
    new JobError(adapter, `The ${adapter} gave no answer${nameOf(method, ' to')} within ${timeout} ms.`, {
      isTransient: true,
    })
  return (ask, method, read) =>
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
          // One promise per call: this is on the way of every start.
          try {
            resolve(read(answer))
          } catch (error) {
            reject(error)
          }
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

/** What a method of an adapter threw. Names the method where that says nothing, as a revoked proxy does not. */
export function thrownBy(adapter: 'datasource' | 'target', method: string, error: unknown): unknown {
  return hasMessage(error) ? error : adapterFailure(adapter, error, method)
}

/** Calls a method of a target. See {@link thrownBy}. */
export async function callTarget<Answer>(method: string, call: () => Answer | Promise<Answer>): Promise<Answer> {
  let answer: Answer
  try {
    answer = await call()
  } catch (error) {
    throw thrownBy('target', method, error)
  }
  checkDone('target', `${method}() of the target`, answer)
  return answer
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
