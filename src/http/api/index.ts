export type { Answering } from './answering.js'
export { type Found, isUnder } from './find-route.js'
export {
  type Authorize,
  checkHandlerOptions,
  checkRegistry,
  defaultBasePath,
  type JobsAnswer,
  type JobsHandlerOptions,
  type JobsRequest,
  type Refusal,
} from './handler-options.js'
export { JobsApi } from './jobs-api.js'
export { alreadyRead, collected, maxBody } from './request-body.js'
export type { JobsAction, NamedJob, Reply, ServedRegistry } from './route.js'
export { fromPath, splitUrl } from './url-path.js'
