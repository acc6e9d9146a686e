import { computed, signal } from '@preact/signals'
import { JobError, JobsClient } from '../../../client/index.js'
import { readClock } from './clock.js'
import { apiPath } from './settings.js'

/**
 * How the page is connected. `live`: by events. `polling`: the server has no events for it. `offline`: the server does not answer.
 * `expired`: it asks for a login. `forbidden`: it does not let this user list jobs.
 */
export type Connection = 'connecting' | 'live' | 'polling' | 'offline' | 'expired' | 'forbidden'

/** Whether the server answers. */
export const reach = signal<'connecting' | 'online' | 'offline' | 'expired' | 'forbidden'>('connecting')

/** Whether the stream of events is open. `undefined` until the server was asked for it. */
export const hasEvents = signal<boolean | undefined>(undefined)

/** How the page is connected. */
export const connection = computed((): Connection => {
  if (reach.value !== 'online') return reach.value
  return hasEvents.value === undefined ? 'connecting' : hasEvents.value ? 'live' : 'polling'
})

/** The API of the server. */
export const client = new JobsClient({ url: apiPath, fetch: watchedFetch })

/** Calls the server, and notes whether it could be reached, and what time it has. */
async function watchedFetch(...call: Parameters<typeof fetch>): Promise<Response> {
  const isStream = /\/_events(\?|$)/.test(String(call[0]))
  try {
    const response = await fetch(...call)
    readClock(response)
    if (isStream) hasEvents.value = response.ok
    if (response.status === 401) reach.value = 'expired'
    else if (reach.value !== 'forbidden' || response.ok) reach.value = 'online'
    return response
  } catch (error) {
    if (isStream) hasEvents.value = false
    if (!isAborted(call[1])) reach.value = 'offline'
    throw error
  }
}

function isAborted(request: RequestInit | undefined): boolean {
  return request?.signal?.aborted === true
}

/** What to tell of an error. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** Whether the server refused a call because the user is not logged in, or may not make it. */
export function isRefusal(error: unknown): boolean {
  return codeOf(error) === 'unauthorized' || codeOf(error) === 'forbidden'
}

/** The code of an error of the API. */
export function codeOf(error: unknown): string | undefined {
  return JobError.isInstance(error) ? error.code : undefined
}
