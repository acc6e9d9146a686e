import type { EventEmitter } from 'node:events'

/** Ignores errors without a listener, which would end the process. A listener would not do: BullMQ removes all of them. */
export function ignoreUnheardErrors(emitter: EventEmitter): void {
  const { emit } = emitter
  emitter.emit = (event, ...values) => {
    const isUnheard = event === 'error' && emitter.listenerCount('error') === 0
    return isUnheard ? false : emit.call(emitter, event, ...values)
  }
}
