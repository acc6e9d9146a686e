import { isolate } from './_isolate.js'
import { errorMessages } from './errors.js'
import type { Redactor } from './redact.js'
import type { ExecutionRecord } from './storage.js'

/**
 * Where headgate tells operators what happens, in the form that pino, console, consola and bunyan share: an object with
 * the details, then a sentence.
 */
export interface Logger {
  /** For somebody who looks for a fault. */
  debug(details: object, message: string): void
  /** What is normal and worth knowing. */
  info(details: object, message: string): void
  /** What went wrong and was survived. */
  warn(details: object, message: string): void
  /** What went wrong and was not. */
  error(details: object, message: string): void
}

/** Tells of an error that a job survived. */
export function warnOf(
  logger: Logger,
  job: Pick<ExecutionRecord, 'type' | 'id' | 'executionId'>,
  error: unknown,
  message: string,
): void {
  const { type, id, executionId } = job
  logger.warn({ type, id, executionId, error: errorMessages(error) }, `Job [${type}/${id}] ${message}.`)
}

/**
 * The same logger, of which nothing that it throws can hurt a job, and that is told no secret which the registry was given
 * to hide. What headgate knows for a secret itself is redacted already.
 */
export function isolatedLogger(logger: Logger, redactor: Redactor): Logger {
  const shown = redactor.hasOwn ? (details: object) => redactedDetails(details, redactor) : (details: object) => details
  const isolated = (level: keyof Logger) => (details: object, message: string) =>
    isolate(
      () => logger[level](shown(details), redactor.hasOwn ? redactor.redact(message) : message),
      // There is nobody left to tell.
      () => undefined,
    )
  return { debug: isolated('debug'), info: isolated('info'), warn: isolated('warn'), error: isolated('error') }
}

/** The fields of a log entry, with the texts and lists of texts among them redacted. */
function redactedDetails(details: object, redactor: Redactor): object {
  const redacted = (value: unknown): unknown => {
    if (typeof value === 'string') return redactor.redact(value)
    return Array.isArray(value) ? value.map((one) => (typeof one === 'string' ? redactor.redact(one) : one)) : value
  }
  return Object.fromEntries(Object.entries(details).map(([name, value]) => [name, redacted(value)]))
}

const nothing = () => {}

/** Says nothing: the default. */
export const silentLogger: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing }
