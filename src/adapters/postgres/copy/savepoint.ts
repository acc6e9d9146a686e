import type { WriteSession } from '../client/index.js'
import type { LoadStrategy } from './load.js'

const name = 'headgate_write'

/** Runs `work` in a savepoint. When it fails, its changes are rolled back and the transaction continues. */
export async function inSavepoint(session: WriteSession, load: LoadStrategy, work: () => Promise<void>): Promise<void> {
  await session.query(`savepoint ${name}`)
  try {
    await work()
    await session.query(`release savepoint ${name}`)
  } catch (error) {
    session.clearRefusedCopy()
    load.forget()
    if (session.isSound) await session.query(`rollback to savepoint ${name}; release savepoint ${name}`)
    throw error
  }
}

/** The index, from 0, of the row in a COPY to that table that the server refused, if the error names it. */
export function refusedRow(error: unknown, table: string): number | undefined {
  const prefix = `COPY ${table}, line `
  const where = `\n${Object(error).where}`
  const start = where.indexOf(`\n${prefix}`)
  return start < 0 ? undefined : Number.parseInt(where.slice(start + 1 + prefix.length), 10) - 1
}

/**
 * SQLSTATEs that no record causes: a broken transaction or server, a full disk, a cancelled statement, a table that is
 * missing, altered or not accessible, or a fault in a trigger, a rule or a default, such as a function that is missing.
 */
const general = /^(25...|3F...|42...|53...|58...|XX...|57014|HG002|HG003)$/

/** Whether the error would refuse every record. */
export function refusesAll(error: unknown): boolean {
  return general.test(String(Object(error).code))
}
