import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout } from 'node:timers/promises'
import type { EndedStatus } from 'headgate'
import type pg from 'pg'
import { applicationName } from './job.js'
import type { Plan } from './plan.js'
import type { Place } from './world.js'

/** Ends what one of headgate's connections does, or the connection. */
export async function signal(pool: pg.Pool, call: 'pg_cancel_backend' | 'pg_terminate_backend'): Promise<void> {
  await pool.query(
    `select ${call}(pid) from pg_stat_activity
      where datname = current_database() and application_name = $1 order by random() limit 1`,
    [applicationName],
  )
}

/** Keeps the target locked for a moment. */
export async function lock(pool: pg.Pool): Promise<void> {
  const { rows } = await pool.query(`select to_regclass('copy') is not null as there`)
  if (!rows[0]?.there) return
  const client = await pool.connect()
  try {
    await client.query(`set lock_timeout = '1s'; begin; lock table copy`)
    await setTimeout(100)
  } catch {
    // The job would not let go of it.
  } finally {
    await client.query('rollback; reset lock_timeout')
    client.release()
  }
}

/** Lets a process of its own run the job, and kills it. Gives the end of the job when it came before. */
export async function runAndKill(plan: Plan, place: Place, after: number): Promise<EndedStatus | undefined> {
  const child = fork(new URL('worker.ts', import.meta.url), [JSON.stringify([plan, place])], {
    execArgv: ['--import', 'tsx'],
  })
  const ended = new Promise<EndedStatus>((resolve) => {
    child.on('message', (message) => {
      if (message === 'started') void setTimeout(after).then(() => child.kill('SIGKILL'))
      else resolve(message as EndedStatus)
    })
  })
  const status = await Promise.race([ended, exitOf(child)])
  child.kill('SIGKILL')
  return status
}

async function exitOf(child: ChildProcess): Promise<undefined> {
  await once(child, 'exit')
}

/** What headgate has left on the server, which should be gone soon. */
export async function leftovers(pool: pg.Pool): Promise<string | undefined> {
  for (let tries = 0; ; tries++) {
    const { rows } = await pool.query(
      `select application_name || ': ' || state || ' ' || query as what from pg_stat_activity
        where datname = current_database() and application_name = $1`,
      [applicationName],
    )
    if (rows.length === 0) return undefined
    if (tries === 100) return `left on the server: ${rows.map(({ what }) => what).join('; ')}`
    await setTimeout(50)
  }
}
