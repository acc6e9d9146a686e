import { checkOptions, rule } from '../adapter.js'
import type { JobsClient } from '../client/index.js'
import { checkHandlerOptions, checkRegistry, isHandler } from '../http/api/index.js'
import type { JobsHandlerOptions, ServedRegistry } from '../http/index.js'

/** The options of `createDashboardHandler`: those of the HTTP API, and these. */
export interface DashboardOptions extends JobsHandlerOptions {
  /**
   * The path of the page: `/`, or a path without a trailing slash. The HTTP API of the page is at `api` below it. Default `/dashboard`.
   */
  basePath?: string
  /** Whether the server refuses every call that changes something, with 403. The page then shows no such action. Default `false`. */
  readOnly?: boolean
  /** The name at the top of the page, to tell one installation from another: up to 1,000 characters. Default `headgate`. */
  title?: string
}

/** The base path unless the options have another. */
export const defaultBasePath = '/dashboard'

const dashboardRules = {
  readOnly: rule.optional(rule.flag),
  title: rule.optional(rule.shortText(1000)),
}

/** What a dashboard shows: a registry of this process, or the API of another server by its client. */
export type DashboardSource = ServedRegistry | JobsClient

/** Whether the jobs are those of another server. A handler has a method `request` too. */
export function isClient(source: DashboardSource): source is JobsClient {
  return typeof Object(source).request === 'function' && !isHandler(source)
}

/** Validates what `createDashboardHandler` receives. Throws `invalid_options`. */
export function checkDashboardOptions(source: DashboardSource, options: DashboardOptions): void {
  if (!isClient(source)) checkRegistry(source, ', or a `JobsClient`')
  const { readOnly, title, ...rest } = options
  checkHandlerOptions(rest)
  checkOptions('options', { readOnly, title }, dashboardRules)
}
