import { JobError, type OpenContext } from '../../../adapter.js'
import { dollarQuoted, type WriteSession } from '../client/index.js'
import type { Guard, TableRef } from '../table/index.js'

/** The SQLSTATE for a later execution that has taken over, from a class that Postgres does not use. */
export const lostState = 'HG001'

/** The SQLSTATE for a table that has changed since the target was opened. */
export const alteredState = 'HG002'

/** The SQLSTATE for a table that has lost all rows since the job committed some. */
export const emptiedState = 'HG003'

export const emptied = 'the table was emptied'

export const altered = 'the table was altered'

/** The statement that raises an error under a condition. */
export function raiseIf(condition: string, message: string, state: string): string {
  return `if ${condition} then raise exception '${message}' using errcode = '${state}'; end if;`
}

/** The statement that fails for a table or a type that was altered, under a condition. */
export function failIfAltered({ shape }: Pick<Guard, 'shape'>): string {
  return `do ${dollarQuoted(`begin ${raiseIf(shape, altered, alteredState)} end`)}`
}

/** What that statement raises for a table that has lost all rows. */
export function emptiedError(): Error {
  return Object.assign(new Error(emptied), { code: emptiedState })
}

/** What that statement raises for a table that was altered. */
export function alteredError(): Error {
  return Object.assign(new Error(altered), { code: alteredState })
}

/** Translates the errors of a fence into those of a job. */
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

  /** Translates the SQLSTATEs of a fence. Other errors stay as they are. */
  explain(error: unknown): unknown {
    const { code } = Object(error) as { code?: unknown }
    if (code === lostState) return this.lost()
    if (code === emptiedState) {
      this.#haveLostRows = true
      return this.#emptied(error)
    }
    return code === alteredState ? this.#altered(error) : error
  }

  /**
   * Translates the error of a statement that finds the table or a column missing or different, when that is because the
   * table was altered. Other errors stay as they are.
   */
  async explainMissing(error: unknown, session: WriteSession, guard: Guard | undefined): Promise<unknown> {
    if (!guard || !/^42/.test(String(Object(error).code))) return error
    const [found] = await session.inquire(`select ${guard.shape} as is_altered`).catch(() => [])
    return found?.is_altered === true ? this.#altered(error) : error
  }

  lost(): JobError {
    const { type, id } = this.#context
    return new JobError(
      'lease_lost',
      `A later execution of job [${type}/${id}] has taken over \`${this.#table.title}\`.`,
    )
  }

  #altered(cause: unknown): JobError {
    const message = `\`${this.#table.title}\` was altered, renamed or recreated while the job wrote to it: run the job again.`
    return new JobError('target', message, { cause, isTransient: true })
  }

  #emptied(cause: unknown): JobError {
    const message =
      `\`${this.#table.title}\` was emptied while the job wrote to it, so it lacks records that the job had committed. ` +
      `Set \`ifTargetReset: 'restart'\` to load everything again, or 'continue' if the table is emptied on purpose.`
    return new JobError('target', message, { cause, isTransient: this.#context.ifReset === 'restart' })
  }
}
