import { fork, spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import mysql from 'mysql2/promise'
import { afterAll, beforeAll, describe, inject } from 'vitest'

/** A MySQL or MariaDB that is there until it is stopped, or until this process ends. */
export interface RunningMysql {
  readonly url: string
  stop(): Promise<void>
}

/** A MariaDB of its own, that can be killed and started again. */
export interface OwnMariadb extends RunningMysql {
  /** Kills the server, starts it again after `ms` milliseconds, and waits until it is ready. */
  restart(ms: number): Promise<void>
}

/**
 * The server that `HEADGATE_TEST_MYSQL_URL` names, or one of its own by the `mariadbd` of the machine; `undefined` when there is none. In
 * CI, that is an error.
 */
export async function reachMysql(): Promise<RunningMysql | undefined> {
  const url = process.env.HEADGATE_TEST_MYSQL_URL
  try {
    if (url === undefined) return await startMariadb()
    await execute(url, 'do 0')
    return { url, stop: async () => {} }
  } catch (error) {
    if (process.env.CI) throw error
    console.warn(`No MySQL or MariaDB, so tests that need one are skipped: ${(error as Error).message}`)
    return undefined
  }
}

/** A MariaDB of its own, by the `mariadbd` of the machine, with these settings. Throws when there is none. */
export async function startMariadb(settings: Readonly<Record<string, string>> = {}): Promise<OwnMariadb> {
  // A process group of its own: Ctrl-C reaches this process only, and the server is there while it cleans up.
  const host = fork(new URL('mariadb-host.mjs', import.meta.url), [JSON.stringify(settings)], {
    detached: true,
    execArgv: [],
  })
  const exited = once(host, 'exit')
  const [answer] = (await Promise.race([once(host, 'message'), exited])) as [{ url?: string; error?: string } | null]
  if (!answer?.url) throw new Error(answer?.error ?? 'The process that holds the server ended before it was ready.')

  // A forgotten `stop` keeps this process no longer alive; the host ends with it.
  host.unref()
  host.channel?.unref()
  return {
    url: answer.url,
    async stop() {
      host.ref()
      if (host.connected) host.disconnect()
      await exited
    },
    async restart(ms) {
      const ready = once(host, 'message')
      host.send({ restartAfter: ms })
      await ready
    },
  }
}

/** Whether this machine has a `mariadbd`. Throws in CI when it has none. */
export function isMariadbThere(): boolean {
  const { error } = spawnSync('mariadbd', ['--version'])
  if (error && process.env.CI) throw error
  if (error) console.warn(`No mariadbd, so tests that need one of their own are skipped: ${error.message}`)
  return !error
}

/**
 * `describe` for tests that need a MySQL or MariaDB: `database.url` leads to an empty database of their own from `beforeAll` on. Skipped
 * when the run has no server.
 */
export function describeMysql(name: string, body: (database: { readonly url: string }) => void): void {
  const server = inject('mysqlUrl')
  const database = `headgate_${randomUUID().replaceAll('-', '')}`
  describe.skipIf(server === undefined)(name, () => {
    beforeAll(() => execute(server ?? '', `create database ${database} character set utf8mb4`))
    afterAll(() => execute(server ?? '', `drop database ${database}`))
    body({
      get url() {
        return Object.assign(new URL(server ?? ''), { pathname: `/${database}` }).href
      },
    })
  })
}

async function execute(url: string, text: string): Promise<void> {
  const connection = await mysql.createConnection(url)
  try {
    await connection.query(text)
  } finally {
    await connection.end()
  }
}
