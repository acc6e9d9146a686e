export { type JobsHandler, type Served, toFetchHandler } from './fetch-handler.js'
