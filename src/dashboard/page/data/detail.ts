import type { RemoteStatus } from '../../../client/index.js'
import type { RemoteDetail } from '../../../wire/index.js'

/** A status as the page receives it: in events and in the log with the id of its execution, and with a detail where it was asked for. */
export type Status = RemoteStatus & { readonly executionId?: string; readonly detail?: Partial<RemoteDetail> }

/** The status of a run that failed. */
export type FailedStatus = Extract<Status, { state: 'error' }>

/** What the server tells about an execution beside its status: empty where nobody has asked for it. */
export function detailOf(status: Status | undefined): Partial<RemoteDetail> {
  return status?.detail ?? {}
}

/** What a failed run says, outermost first. That Node.js finds no package adds nothing to what to install, which stands before it. */
export function messagesOf({ error }: FailedStatus): readonly string[] {
  const isRepeated = (message: string, at: number) =>
    /^Cannot find (package|module) /.test(message) && error[at - 1]?.startsWith('Could not load the package ')
  return error.filter((message, at) => !isRepeated(message, at))
}

/** Where a run begins, in words. `undefined` for a checkpoint of another form than those of one column or more. */
export function placeOfCheckpoint(checkpoint: unknown): string | undefined {
  const { cursor, lastId, ...more } = fieldsOf(checkpoint)
  const columns = Object.entries(lastId === undefined ? fieldsOf(cursor) : { id: lastId })
  const isPlain = Object.keys(more).length === 0 && (cursor === undefined || lastId === undefined)
  if (!isPlain || columns.length === 0 || !columns.every(([, value]) => isScalar(value))) return undefined
  return `after ${columns.map(([name, value]) => `${name} ${value}`).join(', ')}`
}

function isScalar(value: unknown): boolean {
  return typeof value === 'string' || typeof value === 'number'
}

/** The id of the execution, where it is known: the list of jobs does not have it. */
export function executionIdOf(status: Status | undefined): string | undefined {
  return status?.executionId ?? detailOf(status).executionId
}

/** When an execution was accepted: its id begins with that time, if it is a UUID of version 7. */
export function acceptedAt(executionId: string | undefined): number | undefined {
  const uuid = /([\da-f]{8})-([\da-f]{4})-7[\da-f]{3}-[\da-f]{4}-[\da-f]{12}$/.exec(executionId ?? '')
  return uuid ? Number.parseInt(`${uuid[1]}${uuid[2]}`, 16) : undefined
}

/**
 * Whether two statuses are of one run, as far as is known. A run that was queued has another start time since it runs, but was accepted
 * when it was queued.
 */
export function isSameRun(one: Status | undefined, other: Status | undefined): boolean {
  const [id, otherId] = [executionIdOf(one), executionIdOf(other)]
  if (id !== undefined && otherId !== undefined) return id === otherId
  if (!one || !other || one.startTime === other.startTime) return one?.startTime === other?.startTime
  const [before, after] = one.startTime < other.startTime ? [one, other] : [other, one]
  return before.state === 'queued' && (acceptedAt(executionIdOf(after)) ?? 0) <= before.startTime
}

/** Where the next run begins after this one, in the form that a reset takes. `undefined` where the server does not tell it. */
export function checkpointOf(status: Status | undefined): unknown {
  return fieldsOf(detailOf(status)).checkpoint ?? undefined
}

/** The fields of an object; none of any other value. What a job reports may have any form. */
export function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {}
}

/** A number of a field, if it is one. */
export function numberOf(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined
}

/** A state of an execution, or that a job never ran. */
export type ShownState = RemoteStatus['state'] | 'never'

/** What the page says of each state. */
export const stateWords: Record<ShownState, string> = {
  queued: 'Queued',
  running: 'Running',
  aborting: 'Aborting',
  aborted: 'Aborted',
  error: 'Failed',
  successful: 'Succeeded',
  never: 'Never ran',
}

/** Whether jobs of a type read records. Only ingestions have this type. */
export function isIngestionType(type: string): boolean {
  return type === 'ingestion'
}
