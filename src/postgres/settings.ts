import type { PostgresClient, PostgresPool } from './pool.js'

/** Lifts, for one transaction, the limits of server, database and role that would count the time of the other side. */
const lifted = `set local statement_timeout to 0; set local idle_in_transaction_session_timeout to 0`

/** A limit that Postgres 17 and later have. Setting it by name fails before. */
const newest = 'transaction_timeout'

/** The same in PL/pgSQL, for every version. */
export const liftTimeoutsInBlock = `perform set_config(name, '0', true)
  from unnest(array['statement_timeout', 'idle_in_transaction_session_timeout', '${newest}']) name
  where current_setting(name, true) is not null;`

/** Whether the server of a pool has the newest limit. */
const servers = new WeakMap<PostgresPool, boolean>()

/**
 * The statements that lift the limits of time for one transaction. No query is among them, so that the transaction can still
 * choose its snapshot. The first call for a pool asks the server outside of a transaction.
 */
export async function liftTimeouts(pool: PostgresPool, client: PostgresClient): Promise<string> {
  let hasNewest = servers.get(pool)
  if (hasNewest === undefined) {
    const { rows } = (await client.query({
      text: `select current_setting('${newest}', true) is not null`,
      rowMode: 'array',
    })) as { rows: unknown[][] }
    hasNewest = rows[0]?.[0] === true || rows[0]?.[0] === 't'
    servers.set(pool, hasNewest)
  }
  return hasNewest ? `${lifted}; set local ${newest} to 0` : lifted
}
