import type { PostgresClient, PostgresPool } from './pool.js'

/**
 * Turns off, for one transaction, the timeouts of the server, database and role that would count time spent on the
 * other side.
 */
const lifted = `set local statement_timeout to 0; set local idle_in_transaction_session_timeout to 0`

/** A timeout of Postgres 17 and later. Older servers do not accept its name. */
const newest = 'transaction_timeout'

/** A timeout of Postgres 14 and later. It counts outside of transactions, so a transaction cannot turn it off. */
const idle = 'idle_session_timeout'

/** Turns off the idle timeout of a session that is never used for anything else. */
export const liftIdleTimeout = `select set_config('${idle}', '0', false) where current_setting('${idle}', true) is not null`

/** Reads the values that {@link Limits} needs. */
export const limitsQuery = `select current_setting('${idle}', true) as idle, current_setting('${newest}', true) is not null as has_newest`

/** The timeouts of a session, and the statements that turn them off. */
export class Limits {
  /** Turns off, for one transaction, the timeouts that would count time spent on the other side. */
  readonly lift: string
  /** Turns off the idle timeout, if there is one. */
  readonly liftIdle: string | undefined
  /** Restores the idle timeout. */
  readonly restoreIdle: string | undefined

  constructor({ idle: time, has_newest: hasNewest }: Record<string, unknown> = {}) {
    this.lift = liftedOf(hasNewest === true)
    if (typeof time !== 'string' || time === '0') return
    this.liftIdle = `set ${idle} to 0`
    this.restoreIdle = `set ${idle} to '${time}'`
  }
}

function liftedOf(hasNewest: boolean): string {
  return hasNewest ? `${lifted}; set local ${newest} to 0` : lifted
}

/** Whether the server of a pool has `transaction_timeout`. */
const servers = new WeakMap<PostgresPool, boolean>()

/**
 * The statements that turn off timeouts for one transaction. None of them is a query, so the transaction can still
 * choose its snapshot. The first call for a pool asks the server outside of a transaction.
 */
export async function liftTimeouts(pool: PostgresPool, client: PostgresClient): Promise<string> {
  let hasNewest = servers.get(pool)
  if (hasNewest === undefined) {
    const text = `${lifted}; select current_setting('${newest}', true) is not null`
    const results = [await client.query({ text, rowMode: 'array' })].flat() as { rows: unknown[][] }[]
    const [isKnown] = results.at(-1)?.rows[0] ?? []
    hasNewest = isKnown === true || isKnown === 't'
    servers.set(pool, hasNewest)
  }
  return liftedOf(hasNewest)
}
