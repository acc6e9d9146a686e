export { anySignal, createAbortController, onAbort, untilAborted } from './abort.js'
export { bounded, boundedLogger } from './bounded-logger.js'
export { type Clock, setLongTimer, sleep, succeedsWithin, systemClock, type Timer, withTimeout } from './clock.js'
export { type Deferred, deferred } from './deferred.js'
export {
  alreadyRunning,
  chain,
  errorMessages,
  hasRunAgain,
  isAlreadyRunning,
  isCausedBy,
  JobError,
  type JobErrorCode,
  type JobErrorOptions,
  jobErrorCodes,
  leaseLost,
  notePlace,
  placeOf,
  type RecordPlace,
  read,
  runsAnother,
} from './errors.js'
export { EventLoopTurns, type EventLoopTurnsOptions, mapInTurns } from './event-loop-turns.js'
export { frozenCopy } from './frozen-copy.js'
export { checkedKey, executionOrder, JobMap, jobIdOf, jobKey, newExecutionId } from './ids.js'
export { isMisconfigured, isRefused, isTransient } from './is-transient.js'
export { answerOf, isolate, isThenable } from './isolate.js'
export {
  hasMoreValues,
  isJson,
  jsonCopyOf,
  lostInJson,
  maxCheckpointValues,
  maxDetailValues,
  maxJsonDepth,
  maxJsonLength,
} from './json.js'
export { type CopyBounds, redactedFields } from './log-fields.js'
export { errorOf, isolatedLogger, type Logger, loggerRule, type NestLogger, silentLogger, warnOf } from './logger.js'
export { checkOptions, hintFor } from './options.js'
export { Poller } from './poller.js'
export { ignoreRejections } from './promises.js'
export { pauseAfter, retry } from './retry.js'
export { checkDone, isError, isGenerator, isResponse, rejectedIn } from './returned.js'
export { stackOf } from './stack.js'
export {
  checkedResult,
  issuesText,
  type SchemaIssue,
  type SchemaResult,
  type StandardSchema,
  schemaRule,
} from './standard-schema.js'
export { adapterFailure, callTarget, type TimedCall, thrownBy, timedCalls } from './timed-calls.js'
export {
  badAnswer,
  checkedAnswer,
  checkOptionsBriefly,
  checkValue,
  invalid,
  type Rule,
  readable,
  rule,
} from './validation.js'
