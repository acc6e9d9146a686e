import type { Load } from './_postgres-load.js'
import type { Session } from './_postgres-session.js'

const name = 'headgate_write'

/** Does `work` inside a transaction, all of it or nothing: what it did is rolled back when it fails, and the transaction goes on. */
export async function inSavepoint(session: Session, load: Load, work: () => Promise<void>): Promise<void> {
  await session.query(`savepoint ${name}`)
  try {
    await work()
    await session.query(`release savepoint ${name}`)
  } catch (error) {
    session.forgiveCopy()
    load.forget()
    if (session.isSound) await session.query(`rollback to savepoint ${name}; release savepoint ${name}`)
    throw error
  }
}

/** The place in a COPY to that table of the row that the server refuses, from 0, if its error tells. */
export function refusedPlace(error: unknown, table: string): number | undefined {
  const prefix = `COPY ${table}, line `
  const where = `\n${Object(error).where}`
  const start = where.indexOf(`\n${prefix}`)
  return start < 0 ? undefined : Number.parseInt(where.slice(start + 1 + prefix.length), 10) - 1
}

/**
 * SQLSTATEs of which no record is the cause: a transaction or a server that is not in order, a full disk, a statement that
 * somebody has cancelled, a table that is gone, altered or closed to the role.
 */
const general = /^(25...|58...|XX...|53100|57014|42501|42P01|HG002)$/

/** Whether every record would be refused. */
export function refusesAll(error: unknown): boolean {
  return general.test(String(Object(error).code))
}
