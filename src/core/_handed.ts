import type { StartedExecution } from './execution.js'
import { type EndedStatus, type JobStatus, toStatus } from './status.js'
import type { ExecutionRecord } from './storage.js'

/** An execution that was handed to whichever registry takes it. */
export class HandedExecution implements StartedExecution {
  readonly finished: Promise<EndedStatus>
  #record: ExecutionRecord

  constructor(record: ExecutionRecord, ended: Promise<ExecutionRecord>) {
    this.#record = record
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
    return toStatus(this.#record)
  }
}
