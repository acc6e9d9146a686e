import type { Route } from '../route.js'
import { abort } from './abort.js'
import { events } from './events.js'
import { health } from './health.js'
import { jobs } from './jobs.js'
import { openapi } from './openapi.js'
import { pause, pauseAll, unpause, unpauseAll } from './pause.js'
import { reset } from './reset.js'
import { running } from './running.js'
import { search } from './search.js'
import { start } from './start.js'
import { status } from './status.js'

/** Every route of the API. A type never begins with `_`, so a path matches one route. */
export const routes: readonly Route[] = [
  jobs,
  search,
  events,
  health,
  openapi,
  pauseAll,
  unpauseAll,
  running,
  status,
  abort,
  start,
  pause,
  unpause,
  reset,
]
