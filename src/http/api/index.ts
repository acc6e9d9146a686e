export type { Answering } from './answering.js'
export { isDeclaredTooLong, isTooLong, maxBody } from './body-size.js'
export { answersEarly } from './early-answers.js'
export { type Found, isUnder } from './find-route.js'
export {
  type Authorize,
  checkHandler,
  checkHandlerOptions,
  checkRegistry,
  defaultBasePath,
  isHandler,
  type JobsAnswer,
  type JobsHandlerOptions,
  type JobsRequest,
  type Refusal,
} from './handler-options.js'
export { JobsApi } from './jobs-api.js'
export { alreadyRead, bodyInTime, bodyTooLong, collected } from './request-body.js'
export type { JobsAction, NamedJob, Reply, ServedRegistry } from './route.js'
export { fromPath, splitUrl } from './url-path.js'
