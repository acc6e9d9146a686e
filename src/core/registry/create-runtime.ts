import { EventEmitter } from 'eventemitter3'
import { boundedLogger, isolatedLogger, silentLogger, systemClock } from '../base/index.js'
import { checkedDispatcher, type Dispatcher, localDispatcher } from '../dispatch/index.js'
import { type LearningRedactor, redactorOf } from '../redaction/index.js'
import type { Runtime } from '../runtime/index.js'
import { checkedStorage, type WatchedStorage, watchedStorage } from '../storage/index.js'
import type { RegistryOptions } from './registry-options.js'

/** Minimum time for an answer of storage and dispatcher, in milliseconds. It is a third of a lease if that is longer. */
const shortestAnswerTime = 5000

function answerTimeOf(lease: number): number {
  return Math.max(Math.round(lease / 3), shortestAnswerTime)
}

/** The runtime of a registry, whose storage remembers failed writes. */
export type RegistryRuntime = Runtime & { readonly storage: WatchedStorage; readonly redactor: LearningRedactor }

/** Creates the runtime of a registry. `abandoned` aborts shortly before its storage is closed. */
export function createRuntime(options: RegistryOptions, abandoned: AbortSignal): RegistryRuntime {
  const { clock = systemClock, lease = 30_000, progressInterval = 250, onEnd, onEndTimeout = 30_000 } = options
  const { node = `headgate-${Math.random().toString(36).slice(2, 10)}` } = options
  const redactor = redactorOf(options.redact)
  for (const adapter of [options.storage, options.dispatcher]) redactor.learn(adapter)
  const logger = options.logger ? boundedLogger(isolatedLogger(options.logger, redactor), clock) : silentLogger
  const answering = checkedStorage(options.storage, { clock, logger, timeout: answerTimeOf(lease) })
  const storage = watchedStorage(answering, { clock, logger })
  const events: Runtime['events'] = new EventEmitter()
  const times = { lease, progressInterval, onEndTimeout }
  return { storage, clock, logger, redactor, node, ...times, abandoned, events, ...(onEnd && { onEnd }) }
}

/** The dispatcher of a registry, with validated and bounded answers. */
export function createDispatcher({ dispatcher = localDispatcher() }: RegistryOptions, runtime: Runtime): Dispatcher {
  const { clock, lease, logger } = runtime
  return checkedDispatcher(dispatcher, { clock, logger, timeout: answerTimeOf(lease) })
}
