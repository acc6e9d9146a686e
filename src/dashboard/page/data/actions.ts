import { fieldsOf } from './detail.js'
import { refreshJobs, takeStatus } from './jobs.js'
import { notify } from './notices.js'
import { client, codeOf, reasonOf } from './server.js'

/** The names of a job. */
export interface JobNames {
  readonly type: string
  readonly id: string
}

/** How a job is started. */
export interface StartOptions {
  readonly params?: Record<string, unknown>
  readonly fullRefresh?: boolean
  readonly force?: boolean
}

/** Starts a job. */
export async function start({ type, id }: JobNames, options: StartOptions = {}): Promise<void> {
  const status = await client.start(type, id, options)
  takeStatus(status)
  notify(status.state === 'queued' ? `${type}/${id} is queued.` : `${type}/${id} has started.`)
}

/** Asks a job to stop. */
export async function abort({ type, id }: JobNames, reason: string): Promise<void> {
  const status = await client.abort(type, id, { timeout: 0, ...(reason !== '' && { reason }) })
  if (status) takeStatus(status)
  notify(`${type}/${id} was asked to stop.`)
}

/** Pauses a job. */
export async function pause({ type, id }: JobNames, { reason, by }: { reason: string; by: string }): Promise<void> {
  await client.pause(type, id, { ...(reason !== '' && { reason }), ...(by !== '' && { by }) })
  await refreshJobs()
  notify(`${type}/${id} is paused.`)
}

/** Ends the pause of a job. */
export async function unpause({ type, id }: JobNames): Promise<void> {
  await client.unpause(type, id)
  await refreshJobs()
  notify(`${type}/${id} is no longer paused.`)
}

/** Pauses all jobs. */
export async function pauseAll({ reason, by }: { reason: string; by: string }): Promise<void> {
  await client.pauseAll({ ...(reason !== '' && { reason }), ...(by !== '' && { by }) })
  await refreshJobs()
  notify('All jobs are paused.')
}

/** Ends the pause of all jobs. */
export async function unpauseAll(): Promise<void> {
  await client.unpauseAll()
  await refreshJobs()
  notify('The pause of all jobs has ended.')
}

/** Sets where the next run begins: without a checkpoint, at the beginning. Returns the checkpoint. */
export async function reset({ type, id }: JobNames, text: string): Promise<unknown> {
  const checkpoint = text === '' ? undefined : parseJson(text, 'The checkpoint')
  await client.reset(type, id, text === '' ? {} : { checkpoint })
  notify(`The next run of ${type}/${id} begins ${text === '' ? 'at the beginning' : 'at the checkpoint'}.`)
  return checkpoint
}

/** Starts an ingestion with the parameters that its checkpoint belongs to. */
export async function startFrom(job: JobNames, checkpoint: unknown): Promise<void> {
  const { params } = fieldsOf(checkpoint)
  await start(job, params === undefined ? {} : { params: { ...fieldsOf(params) } })
}

/** Reads an object of parameters as somebody has typed it. */
export function parseParams(text: string): Record<string, unknown> {
  const params = parseJson(text, 'The parameters')
  if (typeof params === 'object' && params !== null && !Array.isArray(params)) return params as Record<string, unknown>
  throw new TypeError('The parameters are not a JSON object, such as {"customer": "acme"}.')
}

function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new TypeError(`${what} are not JSON: ${reasonOf(error)}`.replace('checkpoint are', 'checkpoint is'))
  }
}

/** Does what a click asks for, and tells when it fails. */
export async function attempt(action: Promise<void>): Promise<void> {
  try {
    await action
  } catch (error) {
    // A login is asked for at the top of the page.
    if (codeOf(error) !== 'unauthorized') notify(reasonOf(error), { isError: true })
  }
}
