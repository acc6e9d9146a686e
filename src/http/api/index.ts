export { isUnder } from './find-route.js'
export {
  type Authorize,
  checkHandlerOptions,
  defaultBasePath,
  type JobsAnswer,
  type JobsHandlerOptions,
  type JobsRequest,
  type Refusal,
} from './handler-options.js'
export { JobsApi } from './jobs-api.js'
export { alreadyRead, collected } from './request-body.js'
export type { JobsAction, NamedJob, ServedRegistry } from './route.js'
export { fromPath, splitUrl } from './url-path.js'
