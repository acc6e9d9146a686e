import { createAbortController, JobError, withTimeout } from '../base/index.js'
import { EndNotifier, OrphanRecovery, RemoteEvents } from '../cluster/index.js'
import { type Dispatcher, limitsOf } from '../dispatch/index.js'
import {
  CompletionWaiter,
  ExecutionQueue,
  JobCatalog,
  LocalExecutions,
  PartitionEvents,
  PausedJobs,
  Runner,
} from '../execution/index.js'
import { maxTextLength } from '../model/index.js'
import { Scheduler } from '../scheduling/index.js'
import { featureOf } from '../storage/index.js'
import { createDispatcher, createRuntime, type RegistryRuntime } from './create-runtime.js'
import { dispatchWorker } from './dispatch-worker.js'
import { RefreshChecks } from './full-refresh.js'
import { HealthProbe } from './health.js'
import { JobListeners } from './job-listeners.js'
import { JobManagement } from './job-management.js'
import type { CloseOptions, RegistryOptions } from './registry-options.js'

/** How long to wait for a job to stop by default, in milliseconds. */
export const defaultStopTimeout = 30_000

/** The parts of a registry. */
export interface RegistryParts {
  readonly runtime: RegistryRuntime
  readonly jobs: JobCatalog
  readonly listeners: JobListeners
  readonly executions: LocalExecutions
  readonly completions: CompletionWaiter
  readonly remoteEvents: RemoteEvents
  readonly dispatcher: Dispatcher
  readonly paused: PausedJobs
  readonly queue: ExecutionQueue
  readonly runner: Runner
  readonly recovery: OrphanRecovery
  readonly ends: EndNotifier
  readonly scheduler: Scheduler
  readonly management: JobManagement
  readonly refreshChecks: RefreshChecks
  readonly probe: HealthProbe
  /** Aborts the calls that are retried. */
  abandon(): void
  /** Stops listening to changes in storage. `undefined` when the storage does not emit any. */
  readonly unwatch: (() => void) | undefined
}

/** Makes the parts of a registry, and starts to dispatch. */
export function createParts(options: RegistryOptions): RegistryParts {
  const limits = limitsOf(options.concurrency)
  const abandoned = createAbortController()
  const runtime = createRuntime(options, abandoned.signal)
  const { storage, events, onEnd } = runtime
  if (onEnd) featureOf(storage, 'ends', 'onEnd')
  const dispatcher = createDispatcher(options, runtime)
  const queueProblem = () => problemOf(dispatcher, runtime)
  const jobs = new JobCatalog(queueProblem)
  const listeners = new JobListeners(runtime)
  // Each handles an event in the order in which they are made: an ended job is gone before anyone hears of it and starts it again.
  const executions = new LocalExecutions(runtime)
  const partitionEvents = new PartitionEvents(runtime)
  const completions = new CompletionWaiter(runtime, executions)
  const remoteEvents = new RemoteEvents(runtime, jobs, executions, listeners.cluster)
  const paused = new PausedJobs(runtime)
  const queue = new ExecutionQueue(runtime, dispatcher, jobs, paused)
  const runner = new Runner(runtime, { queue, jobs, executions, partitionEvents, completions, paused })
  const recovery = new OrphanRecovery(runtime, { jobs, executions, runner, paused })
  const ends = new EndNotifier(runtime, jobs)
  const scheduler = new Scheduler(runtime, dispatcher.schedules, { runner, completions, paused })
  listeners.subscribe()
  const management = new JobManagement(runtime, { jobs, executions, paused, scheduler })
  const refreshChecks = new RefreshChecks(runtime)
  const probe = new HealthProbe(runtime, executions, { scheduler, queueProblem })
  queue.open(dispatchWorker(runtime, { limits, queue, runner, completions }))
  const unwatch = storage.watch?.((change) => void events.emit('storageChange', change))
  const abandon = () => abandoned.abort(new JobError('closed', 'The registry is closed.'))
  const cluster = { remoteEvents, recovery, ends }
  const running = { executions, completions, dispatcher, paused, queue, runner }
  return {
    runtime,
    jobs,
    listeners,
    ...running,
    ...cluster,
    scheduler,
    management,
    refreshChecks,
    probe,
    abandon,
    unwatch,
  }
}

/** Why the queue hands out no executions, without secrets. `undefined` when it does. */
function problemOf({ problem }: Dispatcher, { redactor }: RegistryRuntime): string | undefined {
  return problem === undefined ? undefined : redactor.shorten(problem, maxTextLength)
}

/** Starts nothing more, aborts or drains what is live, and stops all parts. Leaves the dispatcher and the storage open. */
export async function stopParts(
  parts: RegistryParts,
  { drain = false, timeout = defaultStopTimeout }: CloseOptions,
): Promise<void> {
  const { runtime, executions, runner, queue, ends } = parts
  parts.scheduler.stop()
  parts.refreshChecks.close()
  runner.close()
  queue.close()
  const ended = executions.whenEnded()
  if (drain === true) await ended
  else if (drain !== false) await withTimeout(runtime.clock, drain, ended)
  const stops = runner.stopAll()
  await withTimeout(
    runtime.clock,
    timeout,
    Promise.all([stops, ended]).then(() => ends.finish()),
  )
  parts.abandon()
  parts.unwatch?.()
  parts.recovery.stop()
  parts.paused.stop()
  ends.stop()
  parts.remoteEvents.stop()
  parts.completions.stop()
}
