import { errorMessages } from './errors.js'
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

/** The same logger, of which nothing that it throws can hurt a job. */
export function isolatedLogger(logger: Logger): Logger {
  const isolated = (level: keyof Logger) => (details: object, message: string) => {
    try {
      logger[level](details, message)
    } catch (error) {
      // There is nobody left to tell.
      void error
    }
  }
  return { debug: isolated('debug'), info: isolated('info'), warn: isolated('warn'), error: isolated('error') }
}

const nothing = () => {}

/** Says nothing: the default. */
export const silentLogger: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing }
