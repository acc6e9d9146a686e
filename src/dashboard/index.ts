import { toFetchHandler } from '../http/fetch/index.js'
import type { JobsHandler, ServedRegistry } from '../http/index.js'
import { Dashboard } from './dashboard.js'
import { checkDashboardOptions, type DashboardOptions, defaultBasePath } from './dashboard-options.js'

export type { DashboardOptions } from './dashboard-options.js'

/**
 * Creates a page that shows and steers the jobs of a registry, with the HTTP API that it uses below `/api`. Pass the handler to any server
 * that a handler of `headgate/http` mounts on. Throws `invalid_options`.
 */
export function createDashboardHandler(registry: ServedRegistry, options: DashboardOptions = {}): JobsHandler {
  checkDashboardOptions(registry, options)
  return toFetchHandler(new Dashboard(registry, options), options.basePath ?? defaultBasePath)
}
