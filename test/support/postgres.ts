import { fork } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import pg from 'pg'

/** Settings of an embedded server, such as `shared_buffers`. */
export type PostgresSettings = Readonly<Record<string, string>>

/** A Postgres that is there until it is stopped, or until this process ends. */
export interface RunningPostgres {
  readonly url: string
  stop(): Promise<void>
}

/** A Postgres of its own, that can be restarted. */
export interface OwnPostgres extends RunningPostgres {
  /** Stops the server, starts it again after `ms` milliseconds, and waits until it is ready. */
  restart(ms: number): Promise<void>
}

/** A database of its own on a server. */
export interface FreshDatabase {
  readonly url: string
  drop(): Promise<void>
}

/**
 * A real Postgres to test against: a database on the server that `HEADGATE_TEST_POSTGRES_URL` names, or else a server of
 * its own from the embedded binaries. Throws when neither can be had.
 */
export async function startPostgres(settings: PostgresSettings = {}): Promise<RunningPostgres> {
  const url = process.env.HEADGATE_TEST_POSTGRES_URL
  if (!url) return startEmbedded(settings)
  const database = await freshDatabase(url)
  return { url: database.url, stop: database.drop }
}

/** Creates an empty database on the server at `url`; `drop` removes it, with whoever is still connected. */
export async function freshDatabase(url: string): Promise<FreshDatabase> {
  const name = `headgate_${randomUUID().replaceAll('-', '')}`
  await withClient(url, async (client) => {
    const { rows } = await client.query('show fsync')
    // To copy files is faster than to copy their pages through the log, but writes down first what is in memory.
    await client.query(`create database ${name} ${rows[0].fsync === 'off' ? 'strategy file_copy' : ''}`)
  })
  const fresh = new URL(url)
  fresh.pathname = `/${name}`
  return { url: fresh.href, drop: () => drop(url, name) }
}

/** Connections that are being closed have a second for it: a pool that is told that they were ended would be in error. */
async function drop(url: string, name: string): Promise<void> {
  await withClient(url, async (client) => {
    await client.query(`do $$ begin
      for n in 1..50 loop
        perform pg_stat_clear_snapshot();
        exit when not exists (select from pg_stat_activity where datname = '${name}');
        perform pg_sleep(0.02);
      end loop;
    end $$`)
    await client.query(`drop database if exists ${name} with (force)`)
  })
}

async function withClient(url: string, work: (client: pg.Client) => Promise<void>): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await work(client)
  } finally {
    await client.end()
  }
}

/** A server of its own from the embedded binaries. */
export async function startEmbedded(settings: PostgresSettings = {}): Promise<OwnPostgres> {
  // A process group of its own: Ctrl-C reaches this process only, and the server is there while it cleans up.
  const host = fork(new URL('postgres-host.mjs', import.meta.url), [JSON.stringify(settings)], {
    detached: true,
    execArgv: [],
  })
  const exited = once(host, 'exit')
  const [answer] = (await Promise.race([once(host, 'message'), exited])) as [{ url?: string; error?: string } | null]
  if (!answer?.url) throw new Error(answer?.error ?? 'The process that holds the server ended before it was ready.')

  // A forgotten `stop` keeps this process no longer alive; the host ends with it.
  host.unref()
  host.channel?.unref()
  const stop = async () => {
    host.ref()
    if (host.connected) host.disconnect()
    await exited
  }
  const restart = async (ms: number) => {
    const ready = once(host, 'message')
    host.send({ restartAfter: ms })
    await ready
  }
  return { url: answer.url, stop, restart }
}
