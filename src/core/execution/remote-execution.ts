import { type EndedStatus, type ExecutionRecord, type JobStatus, toStatus } from '../model/index.js'
import type { StartedExecution } from './execution.js'

/** An execution that any registry may run. */
export class RemoteExecution implements StartedExecution {
  readonly finished: Promise<EndedStatus>
  readonly #queueProblem: () => string | undefined
  #record: ExecutionRecord

  constructor(record: ExecutionRecord, ended: Promise<ExecutionRecord>, queueProblem: () => string | undefined) {
    this.#record = record
    this.#queueProblem = queueProblem
    this.finished = ended.then((last) => {
      this.#record = last
      return toStatus(last) as EndedStatus
    })
  }

  get type(): string {
    return this.#record.type
  }

  get id(): string {
    return this.#record.id
  }

  get executionId(): string {
    return this.#record.executionId
  }

  get status(): JobStatus {
    return toStatus(this.#record, undefined, this.#queueProblem())
  }
}
