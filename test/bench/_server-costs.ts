import { readdirSync, readFileSync } from 'node:fs'
import type pg from 'pg'

/** What a server has spent so far. */
interface Spent {
  /** Milliseconds of all its processes. */
  readonly cpu: number
  /** Bytes of WAL. */
  readonly wal: number
  /** Rows that were inserted, updated and deleted. */
  readonly rows: number
}

/** What one call costs a server. */
export interface Cost extends Spent {
  readonly name: string
  /** Calls per second, as many at once as there are connections. */
  readonly rate: number
}

/** The processes of Linux tell their time in these parts of a second. */
const ticks = 100

/** What `call` costs a Postgres on this machine, over so many calls. */
export async function costOf(
  name: string,
  { pool, calls, atOnce }: { pool: pg.Pool; calls: number; atOnce: number },
  call: (n: number) => Promise<unknown>,
): Promise<Cost> {
  const before = await spentBy(pool)
  const began = performance.now()
  let next = 0
  const lane = async () => {
    while (next < calls) await call(next++)
  }
  await Promise.all(Array.from({ length: atOnce }, lane))
  const seconds = (performance.now() - began) / 1000
  const after = await spentBy(pool)
  const each = (what: keyof Spent) => (after[what] - before[what]) / calls
  return { name, rate: calls / seconds, cpu: each('cpu'), wal: each('wal'), rows: each('rows') }
}

/** Prints costs as a table. */
export function print(costs: readonly Cost[]): void {
  console.log(`${'call'.padEnd(52)}  calls/s   CPU ms   WAL bytes   rows written`)
  for (const { name, rate, cpu, wal, rows } of costs) {
    const columns = [Math.round(rate).toString().padStart(9), cpu.toFixed(3).padStart(9)]
    console.log(
      name.padEnd(52) + [...columns, Math.round(wal).toString().padStart(12), rows.toFixed(2).padStart(15)].join(''),
    )
  }
}

async function spentBy(pool: pg.Pool): Promise<Spent> {
  // What the connections have counted is there after a second of rest.
  await new Promise((resolve) => setTimeout(resolve, 1100))
  const { rows } = await pool.query(`select pg_backend_pid() as pid, pg_current_wal_insert_lsn() - '0/0' as wal,
    (select sum(n_tup_ins + n_tup_upd + n_tup_del) from pg_stat_user_tables) as rows`)
  const { pid, wal, rows: written } = rows[0]
  return { cpu: cpuOfServer(pid), wal: Number(wal), rows: Number(written) }
}

/** Milliseconds of a server's processes, those that have ended included, by one of its backends. */
function cpuOfServer(backend: number): number {
  const server = statOf(backend)?.parent
  if (server === undefined) return Number.NaN
  const stats = readdirSync('/proc').map((name) => statOf(Number(name)))
  const children = stats.filter((stat) => stat?.parent === server)
  const own = statOf(server)
  const all = children.reduce((sum, stat) => sum + (stat?.own ?? 0), (own?.own ?? 0) + (own?.ended ?? 0))
  return (all / ticks) * 1000
}

function statOf(pid: number): { parent: number; own: number; ended: number } | undefined {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').at(-1)?.split(' ').map(Number) ?? []
    const [, parent = 0] = fields
    const [user = 0, system = 0, endedUser = 0, endedSystem = 0] = fields.slice(11, 15)
    return { parent, own: user + system, ended: endedUser + endedSystem }
  } catch {
    return undefined
  }
}
