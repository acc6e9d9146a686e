import {
  alreadyRunning,
  type Clock,
  chain,
  createAbortController,
  hasRunAgain,
  JobError,
  type JobErrorCode,
  untilAborted,
} from '../base/index.js'
import { type LibraryJob, statusOf, type TargetReset } from '../execution/index.js'
import { isLive, type JobStatus, toProgress } from '../model/index.js'
import type { Runtime } from '../runtime/index.js'
import { featureOf } from '../storage/index.js'
import { checkNothingHidden } from './hidden-value.js'
import type { ResetOptions } from './registry-options.js'

/** How long the datasource and the target may take, in milliseconds. */
const datasourceTimeout = 10_000
const targetTimeout = 30_000

/**
 * Sets or clears where the next execution of a job begins. The target comes last: where it stores a checkpoint, that one counts, so a crash
 * in between resets nothing.
 */
export async function resetJob(
  { storage, clock, redactor }: Pick<Runtime, 'storage' | 'clock' | 'redactor'>,
  job: LibraryJob,
  { checkpoint: value = null, executionId }: ResetOptions,
): Promise<JobStatus | undefined> {
  const { type, id } = job
  const resetStorage = featureOf(storage, 'reset', 'registry.reset')
  checkNothingHidden('checkpoint', value, redactor)
  const checkpoint = (await libraryCheckpoint(clock, job, value)) ?? toProgress({ checkpoint: value }).checkpoint
  const request = { checkpoint, ...(executionId !== undefined && { executionId }) }
  const { reset, execution } = await resetStorage(type, id, request)
  if (!reset) throw execution && isLive(execution.state) ? alreadyRunning(execution) : hasRunAgain(job, 'reset')
  const latest = async () => (await storage.find(type, id))?.executionId
  await resetTarget(clock, job, { checkpoint, executionId: execution?.executionId, latest })
  return execution && statusOf(execution, job)
}

/** The checkpoint of a job that the library makes, checked by its datasource. */
async function libraryCheckpoint(clock: Clock, job: LibraryJob, value: unknown): Promise<unknown> {
  const stop = createAbortController()
  const message = `The datasource did not check the checkpoint within ${datasourceTimeout} ms. Nothing was reset.`
  const late = new JobError('datasource', message, { isTransient: true })
  const timer = clock.setTimer(datasourceTimeout, () => stop.abort(late))
  try {
    return await untilAborted(Promise.resolve(job.resetCheckpoint?.(value, clock.now(), stop.signal)), stop.signal)
  } finally {
    timer.cancel()
  }
}

async function resetTarget(
  clock: Clock,
  job: LibraryJob,
  request: Omit<TargetReset, 'signal' | 'time'>,
): Promise<void> {
  const stop = createAbortController()
  const late = new JobError('target', `The target did not answer within ${targetTimeout} ms.`)
  const timer = clock.setTimer(targetTimeout, () => stop.abort(late))
  try {
    await job.resetTarget?.({ ...request, time: clock.now(), signal: stop.signal })
  } catch (error) {
    throw isCausedByCode(error, 'lease_lost') ? alreadyRunning(job) : error
  } finally {
    timer.cancel()
  }
}

function isCausedByCode(error: unknown, code: JobErrorCode): boolean {
  return [...chain(error)].some((link) => JobError.isInstance(link) && link.code === code)
}
