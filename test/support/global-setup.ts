import { mkdtemp, rm } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import type { TestProject } from 'vitest/node'
import { reachMysql } from './mysql.js'
import { offerOpensearch } from './opensearch.js'
import { startPostgres } from './postgres.js'
import { reachRedis } from './redis.js'

declare module 'vitest' {
  interface ProvidedContext {
    /** A Postgres for the whole run, or `undefined` when none could be had; see `describePostgres`. */
    postgresUrl: string | undefined
    /** A Redis for the whole run, or `undefined` when there is none; see `describeRedis`. */
    redisUrl: string | undefined
    /** A MySQL or MariaDB for the whole run, or `undefined` when there is none; see `describeMysql`. */
    mysqlUrl: string | undefined
    /** Gives the address of an OpenSearch for the whole run, or `undefined` when there is none; see `describeOpensearch`. */
    opensearch: string | undefined
    /** A folder for the programs that tests make, until the end of the run; see `programOf`. */
    programs: string
  }
}

/** What Next.js builds for its test. */
const builtByNext = new URL('../http/next-app/.next', import.meta.url)

/** Where a program finds packages as the tests do. */
const packages = fileURLToPath(new URL('../../node_modules', import.meta.url))

/** One server of each kind for the whole run. Without one, tests that need it are skipped at home; in CI the run fails. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const programs = await mkdtemp(`${packages}/.programs-`)
  project.provide('programs', programs)
  const servers = needsServers(project)
    ? await Promise.all([reachPostgres(), reachRedis(), reachMysql(), offerOpensearch()])
    : []
  const [postgres, redis, mysql, opensearch] = servers
  project.provide('postgresUrl', postgres?.url)
  project.provide('redisUrl', redis?.url)
  project.provide('mysqlUrl', mysql?.url)
  project.provide('opensearch', opensearch?.url)
  return async () => {
    for (const server of servers) await server?.stop()
    await rm(programs, { recursive: true })
    await rm(builtByNext, { recursive: true, force: true })
  }
}

/** Only with `--project unit`, there is none that does. */
function needsServers(project: TestProject): boolean {
  return project.vitest.projects.some(({ name }) => name !== 'unit')
}

async function reachPostgres() {
  try {
    // To vacuum tables that live for seconds is in vain.
    return await startPostgres({ max_connections: '800', autovacuum: 'off' })
  } catch (error) {
    if (process.env.CI) throw error
    console.warn(`No Postgres, so tests that need one are skipped: ${(error as Error).message}`)
    return undefined
  }
}
