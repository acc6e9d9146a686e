import { JobError, type OpenContext } from '../../../adapter.js'
import type { TableRef } from '../table/index.js'

/** What stands against a transaction. */
export type FenceReason = 'lost' | 'altered' | 'emptied'

/** The errors of a fence, in the words of a job. */
export class FenceErrors {
  readonly #table: TableRef
  readonly #context: Pick<OpenContext, 'type' | 'id' | 'ifReset'>
  #haveLostRows = false

  constructor(table: TableRef, context: Pick<OpenContext, 'type' | 'id' | 'ifReset'>) {
    this.#table = table
    this.#context = context
  }

  /** Whether one of them said that the table lost all rows. */
  get haveLostRows(): boolean {
    return this.#haveLostRows
  }

  lost(): JobError {
    const { type, id } = this.#context
    return new JobError(
      'lease_lost',
      `A later execution of job [${type}/${id}] has taken over \`${this.#table.title}\`.`,
    )
  }

  altered(cause?: unknown): JobError {
    const message = `\`${this.#table.title}\` was altered, renamed or recreated while the job wrote to it: run the job again.`
    return new JobError('target', message, { cause, isTransient: true })
  }

  emptied(): JobError {
    this.#haveLostRows = true
    const message =
      `\`${this.#table.title}\` was emptied while the job wrote to it, so it lacks records that the job had committed. ` +
      `Set \`ifTargetReset: 'restart'\` to load everything again, or 'continue' if the table is emptied on purpose.`
    return new JobError('target', message, { isTransient: this.#context.ifReset === 'restart' })
  }
}
