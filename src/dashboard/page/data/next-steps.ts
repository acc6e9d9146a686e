import { checkpointOf, detailOf, isIngestionType, placeOfCheckpoint, type Status } from './detail.js'
import { beginningOf } from './format.js'
import type { Job } from './jobs.js'

/** What can be done after a failure. */
export type StepName = 'retry' | 'refresh' | 'reset' | 'params' | 'pause' | 'copy'

/** What to do after a failure: why in this order, and what each step does to the target. */
export interface NextSteps {
  readonly advice: string
  readonly steps: readonly { readonly name: StepName; readonly effect: string }[]
}

/** `retry`: another run may succeed as it is. `maybe`: it may, unless a record is at fault. `mend`: it fails again until something else has changed. `restart`: it cannot use its checkpoint. */
type Remedy = 'retry' | 'maybe' | 'mend' | 'restart' | 'unknown'

const mends: Readonly<Record<string, string>> = {
  invalid_options: 'its definition or its parameters are changed',
  not_defined: 'it is defined again',
  schema: 'the record or the schema is fixed',
  transform: 'the record or the transform is fixed',
  too_many_failures: 'the records or what refuses them are fixed',
  datasource: 'what the last message says is fixed',
  target: 'what the last message says is fixed',
}

/** Whether a retry of a failed run can help, as far as the server tells. */
export function remedyFor(status: Status | undefined): Remedy {
  const { failure } = detailOf(status)
  if (!failure) return 'unknown'
  const { code = '', isTransient } = failure
  if (isTransient || code === 'lease_lost') return 'retry'
  if (code === 'checkpoint') return 'restart'
  if (mayPass(status, code)) return 'maybe'
  return code in mends ? 'mend' : code === 'max_duration' ? 'retry' : 'unknown'
}

const connection =
  /\b(ECONN[A-Z]+|ETIMEDOUT|EPIPE|EAI_AGAIN|ENOTFOUND|E(HOST|NET)(UNREACH|DOWN)|UND_ERR_[A-Z_]+)\b|fetch failed|socket hang up/

/** Whether a transform failed of what it called, rather than of its record. What it throws by itself has no cause. */
function mayPass(status: Status | undefined, code: string): boolean {
  if (status?.state !== 'error' || !['transform', 'too_many_failures'].includes(code)) return false
  const { place } = detailOf(status).failure ?? {}
  const messages = status.error.filter((message) => message !== place)
  const thrown = messages.slice(messages.indexOf('The transform failed.') + 1)
  return messages.some((message) => connection.test(message)) || (code === 'transform' && thrown.length > 1)
}

const advices: Readonly<Record<Exclude<Remedy, 'mend'>, string>> = {
  retry: 'The cause may pass by itself: a retry can succeed as it is.',
  maybe: 'What the transform called may work by now: a retry can succeed. If the record is at fault, it fails again.',
  restart: 'A retry would fail again, as it cannot go on from the checkpoint. Begin elsewhere.',
  unknown: 'Whether a retry helps depends on the cause.',
}

const orders: Readonly<Record<Remedy, readonly StepName[]>> = {
  retry: ['retry', 'params', 'refresh', 'reset'],
  unknown: ['retry', 'params', 'refresh', 'reset'],
  maybe: ['retry', 'copy', 'pause', 'params', 'refresh', 'reset'],
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
      return 'For whoever can fix it. Changes nothing.'
  }
}

function retryEffect({ status, definition }: Job, isRead: boolean): string {
  const checkpoint = checkpointOf(status)
  if (!isRead) return checkpoint === undefined ? 'Runs it again.' : 'Runs it again, from its checkpoint.'
  if (definition?.fullRefresh === 'replace')
    return 'Reads everything again. At its end, the new records replace all earlier ones.'
  if (checkpoint === undefined) return 'Begins at the beginning. The records of the target stay.'
  const words = placeOfCheckpoint(checkpoint) ?? `from ${JSON.stringify(checkpoint)}`
  return `Goes on ${beginningOf(words, 80)}. The records of the target stay.`
}
