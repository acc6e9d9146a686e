import {
  answerOf,
  type Clock,
  checkOptions,
  executionOrder,
  invalid,
  JobError,
  type Logger,
  loggerRule,
  type NestLogger,
  type Rule,
  rule,
} from '../base/index.js'
import { type ConcurrencyLimits, type Dispatcher, dispatcherRule } from '../dispatch/index.js'
import { type EndHandler, type JobParams, jobStates, maxTextLength, priorityRule } from '../model/index.js'
import { maxSecretLength } from '../redaction/index.js'
import type { JobStorage, SearchFilter } from '../storage/index.js'

/** The options of a registry. */
export interface RegistryOptions {
  /** Stores executions and checkpoints. The registry closes it. */
  storage: JobStorage
  /** How many jobs run at once in this registry, or {@link ConcurrencyLimits}. Further jobs are queued. Default: no limit. */
  concurrency?: number | ConcurrencyLimits
  /** The queue of executions. The registry closes it. Default: `localDispatcher()`. */
  dispatcher?: Dispatcher
  /** How long an execution may go without a lease renewal before other nodes treat it as dead, in milliseconds. Default 30,000. */
  lease?: number
  /** Minimum time between two saves of progress, in milliseconds. 0 saves every report. Default 250. */
  progressInterval?: number
  /** The name of this registry instance, shown in errors of its orphaned jobs. Default: a random name. */
  node?: string
  /** Receives log entries: a logger of pino, winston, Nest or bunyan, `console`, or any {@link Logger}. Default: none. */
  logger?: Logger | NestLogger
  /**
   * Secrets of your own to redact in errors, log entries and spans, in addition to the forms that headgate knows: strings of 4 to
   * 4,096 characters, or a function that redacts a message. Default: none.
   */
  redact?: readonly string[] | ((text: string) => string)
  /**
   * Called once per cluster for the end of every execution of the jobs that this registry defines, beside the `onEnd` of the job, and in
   * the same way. Default: none.
   */
  onEnd?: EndHandler
  /** The time limit of a call of `onEnd`, of the registry or a job, in milliseconds: 1 or more. Default 30,000. */
  onEndTimeout?: number
  /** The source of time. Default: the system clock. */
  clock?: Clock
}

/** Options of `registry.start`. */
export interface StartOptions {
  /**
   * The parameters of this execution: a JSON object of up to 10,000 characters, which the schema `params` of the job validates. The job
   * receives them, also when it is retried or another process resumes it. Default: none.
   */
  params?: JobParams
  /** Queue priority, from -1,000,000 to 1,000,000. Higher runs first. Default: the job's priority. */
  priority?: number
  /**
   * Whether to read everything again, from the beginning. The next run goes on from its end. A target that replaces does as always, and one
   * that merges on a key keeps records that the source has deleted. One that appends is emptied, if its `onFullRefresh` allows it; any other
   * is refused with `invalid_options`. Default `false`.
   */
  fullRefresh?: boolean
  /** Whether the job starts although it is paused. Default `false`. */
  force?: boolean
}

/** Options of `registry.pause` and `registry.pauseAll`. */
export interface PauseOptions {
  /** The reason, for people: 1 to 1,000 characters. */
  reason?: string
  /** Who pauses the job: 1 to 1,000 characters. */
  by?: string
}

/** Options of `registry.reset`. */
export interface ResetOptions {
  /**
   * Where the next run begins: a JSON value that the job saved as its checkpoint. For an ingestion, an object with `lastId`, `maxPrimaryKey`,
   * `lastRecordTimestamp`, `lastRecord` or `cursor`, such as `{ cursor: { id: '77000' } }`, and with the `params` of a start that
   * select its records, if there are any: the schema of the job checks them. Default: the beginning.
   */
  checkpoint?: unknown
  /**
   * Resets the job only if this is its last execution, and throws `already_running` when it has run again since. Default: whichever it is.
   */
  executionId?: string
}

/** Options of `registry.queued`. */
export interface WaitingOptions {
  /** How many executions to skip. Default 0. */
  from?: number
  /** Maximum number of executions in the page, 0 to 1,000. Default 10. */
  size?: number
}

/** Options of `registry.abort`. */
export interface AbortOptions {
  /** Who aborts and why, for people: 1 to 1,000 characters. Shown as `abortReason` of the status. Default: none. */
  reason?: string
  /** Aborts this execution only, and throws `already_running` when another one is live. Default: whichever is live. */
  executionId?: string
  /** How long to wait for the job to stop, in milliseconds. 0 does not wait. Default 30,000. */
  timeout?: number
  /** Ends the wait when it aborts, as if `timeout` had passed. The job still stops. Default: none. */
  signal?: AbortSignal
  /** Called when storage has answered and only the wait for the end remains. Default: none. */
  onAsked?: () => void
}

/** Options of `registry.running` and `registry.search`. */
export interface ListOptions {
  /** Whether the statuses have `detail`, `checkpoint`, `params` and `log`. Default `true`. */
  detail?: boolean
}

/** Options of `registry.on` and `registry.once`. */
export interface ListenOptions {
  /**
   * Which executions emit to the listener. `own`, the default: those of this registry. `cluster`: those of all registries that
   * share the storage. For another registry's execution, the end is always emitted, earlier states only as far as they were
   * observed, and progress at most once a second.
   */
  scope?: 'own' | 'cluster'
}

/** Options of `registry.close`. */
export interface CloseOptions {
  /** How long running and queued jobs may continue before they are aborted, in milliseconds. `true` waits until they end. */
  drain?: boolean | number
  /** How long to wait for aborted jobs to stop, in milliseconds. Default 30,000. */
  timeout?: number
}

const timeoutRule = rule.optional(rule.whole(0))

const executionIdRule = {
  accepts: (value: unknown) => typeof value === 'string' && executionOrder(value) !== undefined,
  expected: 'the id of an execution',
}

const redactRule: Rule = {
  accepts: (value) =>
    Array.isArray(value) || (typeof value === 'function' && typeof answerOf(() => value(''), '') === 'string'),
  expected: 'a function that gives text at once, or an array of strings',
}

/** The message never contains the secret. */
function checkSecrets(redact: RegistryOptions['redact']): void {
  if (!Array.isArray(redact)) return
  for (const [at, secret] of redact.entries()) {
    const flaw = flawOf(secret)
    const expected = `a string of 4 to ${maxSecretLength} well-formed characters`
    if (flaw) throw new JobError('invalid_options', `Expected \`redact[${at}]\` to be ${expected}, got ${flaw}`)
  }
}

/** A shorter secret would redact parts of ordinary words. */
function flawOf(secret: unknown): string | undefined {
  if (typeof secret !== 'string') return `a value of type ${typeof secret}`
  if (!secret.isWellFormed()) return 'half of a surrogate pair'
  return secret.length < 4 || secret.length > maxSecretLength ? `${secret.length} characters` : undefined
}

/** The rules of {@link RegistryOptions}. */
const registryRules = {
  storage: rule.having(
    ...['begin', 'renew', 'claim', 'run', 'finish', 'requestAbort', 'find', 'live', 'orphans', 'search'],
  ),
  concurrency: { accepts: () => true, expected: 'limits', optional: true },
  dispatcher: rule.optional(dispatcherRule),
  lease: rule.optional(rule.milliseconds(100)),
  progressInterval: rule.optional(rule.milliseconds(0)),
  node: rule.optional(rule.text),
  logger: rule.optional(loggerRule),
  redact: rule.optional(redactRule),
  onEnd: rule.optional(rule.aFunction),
  onEndTimeout: rule.optional(rule.milliseconds(1)),
  clock: rule.optional(rule.aClock),
}

/** Throws `invalid_options` when an option is not valid. `others` are the rules of options that the registry does not have itself. */
export function checkRegistryOptions(options: RegistryOptions, others: Readonly<Record<string, Rule>>): void {
  checkOptions('options', options, { ...registryRules, ...others })
  checkSecrets(options.redact)
}

/** The rules of {@link ListenOptions}. */
export const listenRules = { scope: rule.optional(rule.oneOf('own', 'cluster')) }

/** The rules of {@link StartOptions}. */
export const startRules = {
  params: rule.optional(rule.anObject),
  priority: rule.optional(priorityRule),
  force: rule.optional(rule.flag),
  fullRefresh: rule.optional(rule.flag),
}

const reasonRule = rule.optional(rule.shortText(maxTextLength))

/** The rules of {@link PauseOptions}. */
export const pauseRules = { reason: reasonRule, by: reasonRule }

/** The rules of {@link ResetOptions}. */
export const resetRules = {
  checkpoint: { accepts: () => true, expected: 'a JSON value', optional: true },
  executionId: rule.optional(executionIdRule),
}

/** The rules of {@link WaitingOptions}. */
export const waitingRules = { from: rule.optional(rule.whole(0)), size: rule.optional(rule.whole(0, 1000)) }

/** The rules of {@link AbortOptions}. */
export const abortRules = {
  reason: rule.optional(rule.shortText(maxTextLength)),
  executionId: rule.optional(executionIdRule),
  timeout: timeoutRule,
  signal: rule.optional(rule.having('addEventListener', 'removeEventListener')),
  onAsked: rule.optional(rule.aFunction),
}

/** The rules of `SearchFilter`. */
const searchRules = {
  type: rule.optional(rule.text),
  id: rule.optional(rule.text),
  state: rule.optional(rule.oneOf(...jobStates)),
  startTimeFrom: rule.optional(rule.time),
  startTimeTo: rule.optional(rule.time),
  from: rule.optional(rule.whole(0)),
  size: rule.optional(rule.whole(0, 1000)),
  searchAfter: rule.optional({ ...executionIdRule, expected: 'the id of an execution of the log' }),
}

/** Throws `invalid_options` for a filter that is not valid, or that no execution could fit. */
export function checkSearch(filter: SearchFilter): void {
  checkOptions('filter', filter, searchRules)
  const { startTimeFrom: from, startTimeTo: to } = filter
  if (from !== undefined && to !== undefined && from > to)
    throw invalid('startTimeTo', `\`startTimeFrom\`, ${from}, or later`, to)
}

/** The rules of {@link CloseOptions}. */
export const closeRules = {
  drain: rule.optional({
    accepts: (value: unknown) => typeof value === 'boolean' || rule.whole(0).accepts(value),
    expected: 'true, false or a whole number of milliseconds',
  }),
  timeout: timeoutRule,
}
