import { toFetchHandler } from '../http/fetch/index.js'
import type { JobsHandler } from '../http/index.js'
import { Dashboard } from './dashboard.js'
import {
  checkDashboardOptions,
  type DashboardOptions,
  type DashboardSource,
  defaultBasePath,
} from './dashboard-options.js'

export type { DashboardOptions, DashboardSource } from './dashboard-options.js'

/**
 * Creates a page that shows and steers the jobs of a registry, or those of another server by its client, with the HTTP API that it uses
 * below `/api`. Pass the handler to any server that a handler of `headgate/http` mounts on. Throws `invalid_options`.
 */
export function createDashboardHandler(source: DashboardSource, options: DashboardOptions = {}): JobsHandler {
  checkDashboardOptions(source, options)
  return toFetchHandler(new Dashboard(source, options), options.basePath ?? defaultBasePath)
}
