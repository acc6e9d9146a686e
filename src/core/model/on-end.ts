import { type Rule, rule } from '../base/index.js'
import type { JobDetail } from './execution-record.js'
import type { EndedStatus } from './status.js'

/** What `onEnd` receives besides the status. */
export interface EndContext {
  /** Aborts when the call has taken `onEndTimeout`, or the registry closes. Give it to `fetch`. */
  readonly signal: AbortSignal
  /** What the job threw. Absent when it did not fail, and in another process than the one that ran it. */
  readonly cause?: unknown
}

/** Is told of the end of an execution. It may be async. What it throws is logged, and the call is repeated later. */
export type EndHandler<Detail extends object = JobDetail> = (
  status: EndedStatus<Detail>,
  context: EndContext,
) => unknown

/** Notification of ends. */
export interface Notified<Detail extends object = JobDetail> {
  /**
   * Called once per cluster for the end of every execution: `successful`, `error` or `aborted`, also when its process died. Of an
   * execution that another one resumes automatically, only the end of the last one counts. Repeated, with pauses, until it returns: it
   * may be called more than once, and ends may come out of order. Needs a storage that has `ends`. Default: none.
   */
  onEnd?(status: EndedStatus<Detail>, context: EndContext): unknown
}

/** The rules of {@link Notified}. */
export const notifiedRules: Record<keyof Notified, Rule> = { onEnd: rule.optional(rule.aFunction) }

/** A handler of an end, and whose it is. */
interface NamedHandler {
  readonly of: 'job' | 'registry'
  call(status: EndedStatus, context: EndContext): unknown
}

/** Whether the job or its registry wants to be notified of ends. */
export function hasEndHandler(job: Notified, registry: Notified): boolean {
  return job.onEnd !== undefined || registry.onEnd !== undefined
}

/** The handlers of the ends of a job: its own, and that of its registry. */
export function endHandlersOf(job: Notified, registry: Notified): NamedHandler[] {
  return [
    ...(job.onEnd ? [{ of: 'job', call: job.onEnd.bind(job) } as const] : []),
    ...(registry.onEnd ? [{ of: 'registry', call: registry.onEnd } as const] : []),
  ]
}
