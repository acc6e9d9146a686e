import type { Clock } from './clock.js'
import { type ConcurrencyLimits, type Dispatcher, dispatcherRule, priorityRule } from './dispatcher.js'
import { executionOrder } from './ids.js'
import { jobStates } from './lifecycle.js'
import type { Logger } from './logger.js'
import { isWellFormed, type Rule, rule } from './options.js'
import { maxSecretLength } from './redact.js'
import type { JobStorage } from './storage.js'

/** How a registry works. */
export interface RegistryOptions {
  /** Where executions and checkpoints live. The registry closes it. */
  storage: JobStorage
  /** How many jobs run at once in this registry, or {@link ConcurrencyLimits}; others wait in line. Default: no limit. */
  concurrency?: number | ConcurrencyLimits
  /** Where jobs wait in line, and what gives them their turns. The registry closes it. Default: `localDispatcher()`. */
  dispatcher?: Dispatcher
  /** How long an execution may be silent before others take it for dead, in milliseconds. Default 30,000. */
  lease?: number
  /** How often progress is saved at most, in milliseconds; 0 for every time. Default 250. */
  progressInterval?: number
  /** The name of this instance, shown where its jobs were left. Default: a random one. */
  node?: string
  /** Where operators are told what happens. Default: nowhere. */
  logger?: Logger
  /**
   * Secrets of your own, hidden beside the forms that headgate knows, in statuses, log entries, dead letters and spans: the
   * texts themselves, of 4 to 4,096 characters, or a function that redacts a message. Default: none.
   */
  redact?: readonly string[] | ((text: string) => string)
  /** The time. Default: the machine's. */
  clock?: Clock
}

/** How to start. */
export interface StartOptions {
  /** The higher, the sooner it has its turn: -1,000,000 to 1,000,000. Default: that of the job. */
  priority?: number
}

/** Which of those that wait to show. */
export interface WaitingOptions {
  /** How many to pass over. Default 0. */
  from?: number
  /** The most to give, 0 to 1,000. Default 10. */
  size?: number
}

/** How to abort. */
export interface AbortOptions {
  /** How long to wait for the job to stop, in milliseconds; 0 not to wait. Default 30,000. */
  timeout?: number
  /** Ends the wait when it aborts, as if `timeout` had passed: the job stops all the same. Default: none. */
  signal?: AbortSignal
  /** Is called when storage has answered, and what is left is the wait. Default: none. */
  onAsked?: () => void
}

/** How to listen. */
export interface ListenOptions {
  /**
   * Whose executions to hear of: `own`, those of this registry, which is the default, or `cluster`, those of all registries
   * that share the storage. Of another registry's execution the end is always told, and its states on the way as far as
   * they were seen; progress once a second at most.
   */
  scope?: 'own' | 'cluster'
}

/** How to close. */
export interface CloseOptions {
  /** How long running and waiting jobs may go on before they are aborted, in milliseconds; `true` for until they end. */
  drain?: boolean | number
  /** How long to wait for aborted jobs to stop, in milliseconds. Default 30,000. */
  timeout?: number
}

const timeoutRule = rule.optional(rule.whole(0))

const redactRule: Rule = {
  accepts: (value) => typeof value === 'function' || (Array.isArray(value) && value.every(isSecret)),
  expected: `a function, or an array of strings of 4 to ${maxSecretLength} well-formed characters`,
}

/** A secret that is shorter would hide parts of words. */
function isSecret(value: unknown): boolean {
  return typeof value === 'string' && value.length >= 4 && value.length <= maxSecretLength && isWellFormed(value)
}

/** The rules of {@link RegistryOptions}. */
export const registryRules = {
  storage: rule.having('begin', 'save', 'finish', 'requestAbort', 'find', 'live', 'orphans', 'search'),
  concurrency: { accepts: () => true, expected: 'limits', optional: true },
  dispatcher: rule.optional(dispatcherRule),
  lease: rule.optional(rule.whole(100)),
  progressInterval: rule.optional(rule.whole(0)),
  node: rule.optional(rule.text),
  logger: rule.optional(rule.having('debug', 'info', 'warn', 'error')),
  redact: rule.optional(redactRule),
  clock: rule.optional(rule.having('now', 'setTimer')),
}

/** The rules of {@link ListenOptions}. */
export const listenRules = { scope: rule.optional(rule.oneOf('own', 'cluster')) }

/** The rules of {@link StartOptions}. */
export const startRules = { priority: rule.optional(priorityRule) }

/** The rules of {@link WaitingOptions}. */
export const waitingRules = { from: rule.optional(rule.whole(0)), size: rule.optional(rule.whole(0, 1000)) }

/** The rules of {@link AbortOptions}. */
export const abortRules = {
  timeout: timeoutRule,
  signal: rule.optional(rule.having('addEventListener', 'removeEventListener')),
  onAsked: rule.optional(rule.aFunction),
}

/** The rules of `SearchFilter`. */
export const searchRules = {
  type: rule.optional(rule.text),
  id: rule.optional(rule.text),
  state: rule.optional(rule.oneOf(...jobStates)),
  startTimeFrom: rule.optional(rule.whole(0)),
  startTimeTo: rule.optional(rule.whole(0)),
  from: rule.optional(rule.whole(0)),
  size: rule.optional(rule.whole(0, 1000)),
  searchAfter: {
    accepts: (value: unknown) => typeof value === 'string' && executionOrder(value) !== undefined,
    expected: 'the id of an execution of the log',
    optional: true,
  },
}

/** The rules of {@link CloseOptions}. */
export const closeRules = {
  drain: rule.optional({
    accepts: (value: unknown) => typeof value === 'boolean' || rule.whole(0).accepts(value),
    expected: 'true, false or a whole number of milliseconds',
  }),
  timeout: timeoutRule,
}
