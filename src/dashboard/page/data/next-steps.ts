import { checkpointOf, detailOf, isIngestionType, type Status } from './detail.js'
import { beginningOf } from './format.js'
import type { Job } from './jobs.js'

/** What can be done after a failure. */
export type StepName = 'retry' | 'refresh' | 'reset' | 'params' | 'pause' | 'copy'

/** What to do after a failure: why in this order, and what each step does to the target. */
export interface NextSteps {
  readonly advice: string
  readonly steps: readonly { readonly name: StepName; readonly effect: string }[]
}

/** `retry`: another run may succeed as it is. `mend`: it fails again until something else has changed. `restart`: it cannot use its checkpoint. */
type Remedy = 'retry' | 'mend' | 'restart' | 'unknown'

const mends: Readonly<Record<string, string>> = {
  invalid_options: 'its definition or its parameters are changed',
  not_defined: 'it is defined again',
  schema: 'the record or the schema is mended',
  transform: 'the record or the transform is mended',
  too_many_failures: 'the records or what refuses them are mended',
  datasource: 'what the last message says is mended',
  target: 'what the last message says is mended',
}

/** Whether a retry of a failed run can help, as far as the server tells. */
export function remedyFor(status: Status | undefined): Remedy {
  const { failure } = detailOf(status)
  if (!failure) return 'unknown'
  const { code = '', isTransient } = failure
  if (isTransient || code === 'lease_lost') return 'retry'
  if (code === 'checkpoint') return 'restart'
  return code in mends ? 'mend' : code === 'max_duration' ? 'retry' : 'unknown'
}

const advices: Readonly<Record<Exclude<Remedy, 'mend'>, string>> = {
  retry: 'The cause may pass by itself: a retry can succeed as it is.',
  restart: 'A retry would fail again, as it cannot go on from the checkpoint. Begin elsewhere.',
  unknown: 'Whether a retry helps depends on the cause.',
}

const orders: Readonly<Record<Remedy, readonly StepName[]>> = {
  retry: ['retry', 'params', 'refresh', 'reset'],
  unknown: ['retry', 'params', 'refresh', 'reset'],
  restart: ['refresh', 'reset', 'retry'],
  mend: ['pause', 'copy', 'params', 'retry', 'refresh', 'reset'],
}

/** What to do about the failure of a job that is not live. */
export function nextSteps(job: Job): NextSteps {
  const remedy = remedyFor(job.status)
  const { definition, status } = job
  const { failure, params } = detailOf(status)
  const isOffered: Partial<Record<StepName, boolean>> = {
    pause: definition?.schedule !== undefined && definition.paused === undefined,
    // Other parameters may be what has to change.
    params: params !== undefined && (remedy !== 'mend' || failure?.code === 'invalid_options'),
    refresh: definition?.fullRefresh !== undefined,
  }
  const steps = orders[remedy].filter((name) => isOffered[name] ?? true)
  const until = mends[failure?.code ?? ''] ?? ''
  return {
    advice: remedy === 'mend' ? `A retry fails again until ${until}.` : advices[remedy],
    steps: steps.map((name) => ({ name, effect: effectOf(name, job) })),
  }
}

/** What a full refresh does to the target. */
export const refreshEffects = {
  replace: 'At its end, the new records replace all earlier ones.',
  merge: 'Its records replace earlier ones with the same key. Those that the source has deleted stay.',
  truncate: 'Its first commit removes all earlier records.',
} as const

function effectOf(name: StepName, job: Job): string {
  const isRead = isIngestionType(job.type)
  const { fullRefresh } = job.definition ?? {}
  switch (name) {
    case 'retry':
      return retryEffect(job, isRead)
    case 'params':
      return `Runs it with other parameters.${isRead ? ' Its records are added to those of the target.' : ''}`
    case 'refresh':
      return `Reads everything again. ${refreshEffects[fullRefresh ?? 'merge']}`
    case 'reset':
      return `Sets where the next run begins, and starts nothing.${isRead ? ' The records of the target stay.' : ''}`
    case 'pause':
      return 'Its schedule starts it no more until the pause ends. The target stays as it is.'
    default:
      return 'For whoever can mend it. Changes nothing.'
  }
}

function retryEffect({ status, definition }: Job, isRead: boolean): string {
  const checkpoint = checkpointOf(status)
  if (!isRead) return checkpoint === undefined ? 'Runs it again.' : 'Runs it again, from its checkpoint.'
  if (definition?.fullRefresh === 'replace')
    return 'Reads everything again. At its end, the new records replace all earlier ones.'
  if (checkpoint === undefined) return 'Begins at the beginning. The records of the target stay.'
  return `Goes on from ${beginningOf(JSON.stringify(checkpoint), 80)}. The records of the target stay.`
}
