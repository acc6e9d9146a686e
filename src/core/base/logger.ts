import type { Redactor } from '../redaction/index.js'
import { errorMessages, placeOf, read } from './errors.js'
import { isolate } from './isolate.js'
import { redactedFields } from './log-fields.js'
import { type Rule, rule } from './validation.js'

/**
 * Receives log entries, in the form that pino, console, consola and bunyan share: an object with details, then a sentence.
 */
export interface Logger {
  /** Details for debugging. */
  debug(details: object, message: string): void
  /** Normal events that are worth knowing. */
  info(details: object, message: string): void
  /** Problems from which headgate recovers. */
  warn(details: object, message: string): void
  /** Errors from which headgate does not recover. */
  error(details: object, message: string): void
}

/** The logger of Nest: the message comes first, and `log` is the method for normal events. */
export interface NestLogger {
  /** Details for debugging. */
  debug?(message: unknown, ...more: unknown[]): unknown
  /** Normal events that are worth knowing. */
  log(message: unknown, ...more: unknown[]): unknown
  /** Problems from which headgate recovers. */
  warn(message: unknown, ...more: unknown[]): unknown
  /** Errors from which headgate does not recover. */
  error(message: unknown, ...more: unknown[]): unknown
}

const levels = ['debug', 'info', 'warn', 'error'] as const

/** The option `logger`. */
export const loggerRule: Rule = {
  accepts: (value) => has(value, levels) || has(value, nestMethods),
  expected: 'an object with the methods `debug`, `info`, `warn` and `error`, or a logger of Nest',
}

const nestMethods = ['log', 'warn', 'error'] as const

function has(value: unknown, methods: readonly string[]): boolean {
  return rule.having(...methods).accepts(value)
}

/** What an entry names of an execution. */
interface LoggedExecution {
  readonly type: string
  readonly id: string
  readonly partition?: number
  readonly executionId: string
}

/** Logs an error that does not end the job. */
export function warnOf(logger: Logger, job: LoggedExecution, error: unknown, message: string): void {
  logger.warn(detailsOf(job, error), `Job [${job.type}/${job.id}] ${message}.`)
}

/** Logs an error from which the execution does not recover. */
export function errorOf(logger: Logger, job: LoggedExecution, error: unknown, message: string): void {
  logger.error(detailsOf(job, error), `Job [${job.type}/${job.id}] ${message}.`)
}

function detailsOf({ type, id, partition, executionId }: LoggedExecution, error: unknown): object {
  const job = { type, id, ...(partition !== undefined && { partition }), executionId }
  return { ...job, ...placeOf(error), error: errorMessages(error) }
}

/**
 * Isolates the caller from errors and rejections of the logger, and redacts its texts, fields and errors. A message is one line, as a
 * name in it could otherwise forge an entry. A level that `logger` lacks logs nothing.
 */
export function isolatedLogger(given: Partial<Logger> | NestLogger, redactor: Redactor): Logger {
  const logger = isMessageFirst(given) ? detailsFirst(given) : (given as Partial<Logger>)
  const isolated = (level: keyof Logger) => (details: object, message: string) =>
    isolate(
      () => logger[level]?.(redactedFields(details, redactor) as object, onOneLine(redactedFields(message, redactor))),
      // An error of the logger cannot be logged.
      () => undefined,
    )
  return { debug: isolated('debug'), info: isolated('info'), warn: isolated('warn'), error: isolated('error') }
}

/** A logger whose methods take the message first. Called with the details first, it would lose one of them. */
type MessageFirst = Partial<Record<keyof Logger | 'log', (message: string, details: object) => unknown>>

/** Nest's loggers have no `info`. Those of winston have it, and manage exceptions and transports. */
function isMessageFirst(logger: object): logger is MessageFirst {
  const isNest = read(logger, 'info') === undefined && typeof read(logger, 'log') === 'function'
  const isWinston = Array.isArray(read(logger, 'transports')) && read(logger, 'exceptions') !== undefined
  return isNest || isWinston
}

function detailsFirst(logger: MessageFirst): Partial<Logger> {
  const normal = logger.info ? 'info' : 'log'
  return {
    debug: (details, message) => logger.debug?.(message, details),
    info: (details, message) => logger[normal]?.(message, details),
    warn: (details, message) => logger.warn?.(message, details),
    error: (details, message) => logger.error?.(message, details),
  }
}

/** A job may log something other than text. */
function onOneLine(message: unknown): string {
  return typeof message === 'string' ? message.replace(/\r?\n|[\u2028\u2029]/g, '\\n') : (message as string)
}

const nothing = () => {}

/** Logs nothing: the default. */
export const silentLogger: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing }
