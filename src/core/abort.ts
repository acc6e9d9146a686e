/** The part of Node's `events` that is called, where there is one. */
interface Events {
  setMaxListeners?(count: number, target: AbortSignal): void
}

/**
 * A controller whose signal takes any number of listeners: a registry with many executions has as many on one signal, of
 * which Node would warn from the eleventh on.
 */
export function createAbortController(): AbortController {
  const controller = new AbortController()
  allowListeners(controller.signal)
  return controller
}

/** A signal that aborts with the first of the given ones, and takes any number of listeners. */
export function anySignal(signals: readonly AbortSignal[]): AbortSignal {
  return allowListeners(AbortSignal.any([...signals]))
}

function allowListeners(signal: AbortSignal): AbortSignal {
  events?.setMaxListeners?.(0, signal)
  return signal
}

const { process } = globalThis as { process?: { getBuiltinModule?(name: string): unknown } }

/** Browsers have none, and do not warn. */
const events = process?.getBuiltinModule?.('node:events') as Events | undefined
