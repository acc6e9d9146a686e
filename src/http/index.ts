import {
  checkHandlerOptions,
  checkRegistry,
  defaultBasePath,
  JobsApi,
  type JobsHandlerOptions,
  type ServedRegistry,
} from './api/index.js'
import { type JobsHandler, toFetchHandler } from './fetch/index.js'

export type { WireError, WireErrorType, WireHit, WireHits, WireJob, WireStatus } from '../wire/index.js'
export type { TextStream } from './answers/index.js'
export type {
  Authorize,
  JobsAction,
  JobsAnswer,
  JobsHandlerOptions,
  JobsRequest,
  NamedJob,
  Refusal,
  ServedRegistry,
} from './api/index.js'
export type { JobsHandler } from './fetch/index.js'

/**
 * Creates the HTTP API of a registry. Pass the handler to a server that uses fetch, or to a mount such as
 * `toNodeHandler` of `headgate/http/node`. Throws `invalid_options`.
 */
export function createJobsHandler(registry: ServedRegistry, options: JobsHandlerOptions = {}): JobsHandler {
  checkRegistry(registry)
  checkHandlerOptions(options)
  return toFetchHandler(JobsApi.of(registry, options), options.basePath ?? defaultBasePath)
}
