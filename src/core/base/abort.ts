/** The part of Node's `events` that is used, where it exists. */
interface Events {
  setMaxListeners?(count: number, target: AbortSignal): void
}

/**
 * A controller whose signal accepts any number of listeners. A registry with many executions has many listeners on one signal, and Node
 * would warn from the eleventh on.
 */
export function createAbortController(): AbortController {
  const controller = new AbortController()
  allowListeners(controller.signal)
  return controller
}

/** A signal that aborts with the first of the given signals, and accepts any number of listeners. */
export function anySignal(signals: readonly AbortSignal[]): AbortSignal {
  return allowListeners(AbortSignal.any([...signals]))
}

function allowListeners(signal: AbortSignal): AbortSignal {
  events?.setMaxListeners?.(0, signal)
  return signal
}

/** The listeners of a signal, and the one listener on the signal that calls them. */
interface Waiting {
  readonly listeners: Set<() => void>
  notify(): void
}

const waiting = new WeakMap<AbortSignal, Waiting>()

/**
 * Calls `listener` when the signal aborts. Returns a function that removes it. The library adds one listener per signal, as the signal
 * may belong to the user, and Node warns from the eleventh listener on.
 */
export function onAbort(signal: AbortSignal, listener: () => void): () => void {
  const { listeners, notify } = waiting.get(signal) ?? listenTo(signal)
  listeners.add(listener)
  return () => {
    if (!listeners.delete(listener) || listeners.size > 0) return
    waiting.delete(signal)
    signal.removeEventListener('abort', notify)
  }
}

function listenTo(signal: AbortSignal): Waiting {
  const listeners = new Set<() => void>()
  const notify = () => {
    for (const listener of [...listeners]) listener()
  }
  waiting.set(signal, { listeners, notify })
  signal.addEventListener('abort', notify)
  return { listeners, notify }
}

/** Resolves or rejects with `promise`, or rejects with the reason of `signal` when that aborts first. */
export function untilAborted<Value>(promise: Promise<Value>, signal: AbortSignal | undefined): Promise<Value> {
  if (!signal) return promise
  return new Promise((resolve, reject) => {
    const giveUp = () => reject(signal.reason)
    const stopListening = onAbort(signal, giveUp)
    promise.then(resolve, reject).finally(stopListening)
    if (signal.aborted) giveUp()
  })
}

const { process } = globalThis as { process?: { getBuiltinModule?(name: string): unknown } }

/** Browsers lack this module, and do not warn. */
const events = process?.getBuiltinModule?.('node:events') as Events | undefined
