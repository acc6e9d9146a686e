import type { Route } from '../route.js'
import { abort } from './abort.js'
import { events } from './events.js'
import { health } from './health.js'
import { openapi } from './openapi.js'
import { running } from './running.js'
import { search } from './search.js'
import { start } from './start.js'
import { status } from './status.js'

/** Every route of the API. A type never begins with `_`, so a path matches one route. */
export const routes: readonly Route[] = [search, events, health, openapi, running, status, abort, start]
