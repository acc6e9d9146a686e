import { hasEnded } from '../../../wire/index.js'
import { executionIdOf, fieldsOf, isSameRun, type Status, stateWords } from './detail.js'
import { nameOf } from './format.js'
import { type Job, jobs, keyOf, refreshJobs, rereadJobs, takeStatus } from './jobs.js'
import { notify } from './notices.js'
import { linkToJob, route } from './route.js'
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
  const { detail, ...status } = await client.start(type, id, { ...options, detail: true })
  takeStatus({ ...status, executionId: detail.executionId })
  // A view of a past run gives way to the new one.
  const { value: shown } = route
  if (shown.view === 'job' && shown.run && shown.type === type && shown.id === id) location.hash = linkToJob(type, id)
  notify(status.state === 'queued' ? `${nameOf({ type, id })} is queued.` : `${nameOf({ type, id })} has started.`)
}

/** The id of the execution that a status is of. Throws when the job has another run by now. */
export async function executionOf({ type, id }: JobNames, meant: Status): Promise<string> {
  const known = executionIdOf(meant)
  if (known !== undefined) return known
  const status = await client.status(type, id, { detail: true })
  if (!status || !isSameRun(meant, status)) throw new TypeError(hasEnded(meant) ? ranAgain : otherRun)
  return status.detail.executionId
}

const otherRun = 'The run that you meant has ended, and another one runs now. Nothing was aborted.'
const ranAgain = 'The job has run again since this was opened. Nothing was reset: look at that run first.'

/** Asks an execution of a job to stop. */
export async function abort({ type, id }: JobNames, executionId: string, reason: string): Promise<void> {
  try {
    const options = { timeout: 0, detail: true, executionId, ...(reason !== '' && { reason }) } as const
    const answer = await client.abort(type, id, options)
    if (!answer) return notify(`${nameOf({ type, id })} has never run.`, { isError: true })
    const { detail, ...status } = answer
    takeStatus({ ...status, executionId: detail.executionId })
    if (!hasEnded(status)) return notify(`${nameOf({ type, id })} was asked to stop.`)
    const isMeant = detail.executionId === executionId
    notify(
      `That run of ${nameOf({ type, id })} had ended${isMeant ? `: ${stateWords[status.state].toLowerCase()}` : ''}.`,
    )
  } catch (error) {
    if (codeOf(error) !== 'already_running') throw error
    void refreshJobs()
    throw new TypeError(otherRun)
  }
}

/** Pauses a job. */
export async function pause({ type, id }: JobNames, { reason, by }: { reason: string; by: string }): Promise<void> {
  await client.pause(type, id, { ...(reason !== '' && { reason }), ...(by !== '' && { by }) })
  await rereadJobs()
  notify(`${nameOf({ type, id })} is paused.`)
}

/** Ends the pause of a job: the one that is shown, and not one that has begun since. */
export async function unpause({ type, id, definition }: Job): Promise<void> {
  await rereadJobs()
  const { paused } = jobs.value?.get(keyOf(type, id))?.definition ?? {}
  if (paused && paused.since !== definition?.paused?.since)
    return notify(
      `${nameOf({ type, id })} was paused anew${paused.by === undefined ? '' : ` by ${paused.by}`}. That pause goes on.`,
    )
  await client.unpause(type, id)
  await rereadJobs()
  notify(`${nameOf({ type, id })} is no longer paused.`)
}

/** Pauses all jobs. */
export async function pauseAll({ reason, by }: { reason: string; by: string }): Promise<void> {
  await client.pauseAll({ ...(reason !== '' && { reason }), ...(by !== '' && { by }) })
  await rereadJobs()
  notify('All jobs are paused.')
}

/** Ends the pause of all jobs. */
export async function unpauseAll(): Promise<void> {
  await client.unpauseAll()
  await rereadJobs()
  notify('The pause of all jobs has ended.')
}

/**
 * Sets where the next run begins: without a checkpoint, at the beginning. Returns the checkpoint. `executionId` is the last run that the
 * user has seen: after another one, the checkpoint is an old one.
 */
export async function reset({ type, id }: JobNames, text: string, executionId: string | undefined): Promise<unknown> {
  const checkpoint = text === '' ? undefined : parseJson(text, 'The checkpoint')
  const isMeant = executionId !== undefined && { executionId }
  try {
    await client.reset(type, id, { ...(text !== '' && { checkpoint }), ...isMeant })
  } catch (error) {
    if (codeOf(error) !== 'already_running' || !reasonOf(error).includes('Nothing was reset')) throw error
    void refreshJobs()
    throw new TypeError(ranAgain)
  }
  notify(`The next run of ${nameOf({ type, id })} begins ${text === '' ? 'at the beginning' : 'at the checkpoint'}.`)
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

/** Does what a click asks for, and tells when it fails: `failed` says what was not done. */
export async function attempt(action: Promise<void>, failed: string): Promise<void> {
  try {
    await action
  } catch (error) {
    // A login is asked for at the top of the page.
    if (codeOf(error) !== 'unauthorized') notify(`${failed}: ${reasonOf(error)}`, { isError: true })
  }
}

/** Starts a job with the parameters that it has by itself. Returns why it refuses these. Any other failure is told. */
export async function startPlainly(job: Job): Promise<string | undefined> {
  let refused: string | undefined
  const starting = start(job, job.definition?.paused ? { force: true } : {}).catch((error) => {
    if (codeOf(error) !== 'invalid_options' || !/\bparams\b/.test(reasonOf(error))) throw error
    refused = reasonOf(error)
  })
  await attempt(starting, `${nameOf(job)} was not started`)
  return refused
}
