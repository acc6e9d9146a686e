import type { Redactor } from '../redaction/index.js'
import { errorMessages } from './errors.js'
import { isolate } from './isolate.js'
import { redactedFields } from './log-fields.js'

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
  return { type, id, ...(partition !== undefined && { partition }), executionId, error: errorMessages(error) }
}

/**
 * Isolates the caller from errors and rejections of the logger, and redacts its texts, fields and errors. A message is one line, as a
 * name in it could otherwise forge an entry. A level that `logger` lacks logs nothing.
 */
export function isolatedLogger(logger: Partial<Logger>, redactor: Redactor): Logger {
  const isolated = (level: keyof Logger) => (details: object, message: string) =>
    isolate(
      () => logger[level]?.(redactedFields(details, redactor) as object, onOneLine(redactedFields(message, redactor))),
      // An error of the logger cannot be logged.
      () => undefined,
    )
  return { debug: isolated('debug'), info: isolated('info'), warn: isolated('warn'), error: isolated('error') }
}

/** A job may log something other than text. */
function onOneLine(message: unknown): string {
  return typeof message === 'string' ? message.replace(/\r?\n/g, '\\n') : (message as string)
}

const nothing = () => {}

/** Logs nothing: the default. */
export const silentLogger: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing }
