import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import mysql from 'mysql2/promise'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, it, vi } from 'vitest'
import { describePostgres } from './support/describe-postgres.js'
import { describeMysql } from './support/mysql.js'
import { describeOpensearch } from './support/opensearch.js'
import { exampleProgram } from './support/program.js'

/** Programs start slowly on a busy machine. */
vi.setConfig({ testTimeout: 60_000 })

const root = join(import.meta.dirname, '..')
const source = (name: string) => readFile(join(root, 'examples', name), 'utf8')

/** Runs an example as a program of its own, and gives the lines that it prints. One that starts a Postgres gets this run's. */
async function run(name: string, ...args: string[]): Promise<string[]> {
  const command = [await exampleProgram(name), ...args]
  const env = { ...process.env, HEADGATE_TEST_POSTGRES_URL: inject('postgresUrl') }
  const { stdout, stderr } = await promisify(execFile)(process.execPath, command, { cwd: root, env, timeout: 55_000 })
  expect(stderr).toBe('')
  return stdout.trim().split('\n')
}

/** What an example says that it prints: its comments that fill a line. */
async function promised(name: string): Promise<string[]> {
  const comments = (await source(name)).matchAll(/^ *\/\/ ([^#].*)$/gm)
  return [...comments].map(([, text = '']) => text)
}

/** The failover example, which brings a Postgres of its own. */
const failover = [
  /^Starting a Postgres of its own/,
  /^worker 1 is ready\.$/,
  /^worker 2 is ready\.$/,
  /^worker 3 is ready\.$/,
  /^worker 1 starts\.$/,
  /^worker 1 is killed after [1-9]\d* cities\.$/,
  /^worker [23] resumes\.$/,
  /^It is successful: 135233 of 135233 cities are in the file, each of them once\.$/,
  /^$/,
  /^cities[-0-9a-f]{36}: error, \d+ records$/,
  /^ {2}The node that ran the job stopped answering\.$/,
  /^ {2}The lease of node \[worker 1\] expired at /,
  /^$/,
  /^cities[-0-9a-f]{36}: successful, \d+ records$/,
  /^ {2}resumes cities/,
]

/** The cluster example: its steps, and how each job ends. Which worker runs what, and in which order at the end, is open. */
const cluster = [
  /^Starting a Postgres of its own/,
  ...Array.from({ length: 3 }, () => /^worker [123] is ready\.$/),
  /^$/,
  /^a, b and c are started in worker 1\./,
  ...Array.from({ length: 3 }, () => /^worker [123] runs [abc]\.$/),
  /^$/,
  /^d and e are started in worker 2, and then f/,
  /^Waiting, as worker 3 sees it: f \(10\), d \(0\), e \(0\)\.$/,
  /^$/,
  /^a is aborted, from outside\.$/,
  /^worker [123] runs f\.$/,
  /^$/,
  /^worker [123] is killed while it runs b\.$/,
  ...Array.from({ length: 3 }, () => /^worker [123] (runs [de]|resumes b)\.$/),
  /^$/,
  /^a: aborted at step \d+$/,
  /^b: error at step \d+, then successful at step 20$/,
  ...['c', 'd', 'e', 'f'].map((id) => new RegExp(`^${id}: successful at step 20$`)),
]

async function expectPromised(name: string, ...args: string[]): Promise<void> {
  const lines = await run(name, ...args)
  expect(lines.map((line) => line.trimEnd())).toEqual(await promised(name))
}

describe('the example', () => {
  it.each([
    'custom-job.ts',
    'errors.ts',
    'prometheus.ts',
    'api.ts',
    'schedule.ts',
    'pause.ts',
    'webhook.ts',
    'parameters.ts',
  ])('%s prints what it says', (name) => expectPromised(name))

  // The job that waits begins while the example goes on.
  it('watch.ts prints what it says, in any order', async () => {
    const lines = (await run('watch.ts')).map((line) => line.trimEnd())
    expect(lines.sort()).toEqual((await promised('watch.ts')).sort())
  })
})

describePostgres('the example on Postgres', (database) => {
  let folder: string

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'headgate-examples-'))
    const client = new pg.Client(database.url)
    await client.connect()
    await client.query(await source('events.sql'))
    await client.end()
  })
  afterAll(() => rm(folder, { recursive: true }))

  it('the failover example shows how another process finishes the job of one that was killed', async () => {
    const lines = await run('failover/index.ts')
    expect(lines).toEqual(failover.map((line) => expect.stringMatching(line)))
  })

  it('the cluster example shows how three processes share a queue of jobs', async () => {
    const lines = await run('cluster/index.ts')
    expect(lines).toEqual(cluster.map((line) => expect.stringMatching(line)))
  })

  it.each(['ingestion.ts', 'resume.ts', 'cursor.ts', 'failures.ts', 'reload.ts', 'partitions.ts'])(
    '%s prints what it says',
    (name) => expectPromised(name, database.url),
  )

  it('minimal.ts prints its progress and how it ended, and writes the file', async () => {
    const path = join(folder, 'events.ndjson')
    const lines = await run('minimal.ts', database.url, path)
    expect(lines[0]).toMatch(/^\d+ records, up to id \d+$/)
    const status = lines.slice(lines.indexOf('{')).join('\n')
    expect(status).toContain("state: 'successful'")
    expect(status).toContain("id: 'postgres-events'")
    expect(status).toContain('count: 500000')
    expect(status).toContain("lastId: '500000'")
    const written = (await readFile(path, 'utf8')).trimEnd().split('\n')
    expect(written).toHaveLength(500_000)
    expect(JSON.parse(written[1] ?? '')).toEqual({
      id: '2',
      kind: 'purchase',
      payload: { user: 2 },
      happened_at: '2024-01-01T00:00:02Z',
    })
  })

  describe('service.ts', () => {
    const services: ChildProcess[] = []
    afterAll(() => {
      for (const service of services) service.kill('SIGKILL')
    })

    /** Starts the service, and gives it with the URL of its job. */
    async function serve() {
      const command = [await exampleProgram('service.ts'), database.url, '0']
      const service = spawn(process.execPath, command, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] })
      services.push(service)
      const [line] = await once(service.stdout, 'data')
      const [, port] = /port: (\d+)/.exec(String(line)) ?? []
      service.stdout.resume()
      return { service, job: `http://127.0.0.1:${port}/_siren/connector/jobs/ingestion/events` }
    }

    const until = (job: string, expected: object) =>
      vi.waitFor(async () => expect(await (await fetch(job)).json()).toMatchObject({ status: expected }), {
        timeout: 40_000,
        interval: 50,
      })

    it('copies a table, and another process resumes the copy after a crash', async () => {
      const first = await serve()
      expect((await fetch(`${first.job}/_start`, { method: 'POST' })).status).toBe(201)
      await until(first.job, { state: 'running', last_id: expect.stringMatching(/\d{5}/) })
      first.service.kill('SIGKILL')

      const second = await serve()
      await until(second.job, { state: 'successful', last_id: '500000' })
      const client = new pg.Client(database.url)
      await client.connect()
      const { rows } = await client.query('select count(*)::int, count(distinct id)::int as ids from events_copy')
      await client.end()
      expect(rows).toEqual([{ count: 500_000, ids: 500_000 }])
      const { status } = (await (await fetch(second.job)).json()) as { status: { count: number } }
      expect(status.count).toBeLessThan(500_000)

      second.service.kill('SIGTERM')
      expect(await once(second.service, 'exit')).toEqual([0, null])
    }, 90_000)
  })
})

describeMysql('the example on MySQL', (shop) => {
  /** Views of the server's own catalog, which have columns of many types, as tables. */
  const views = [
    ...['all_plugins', 'applicable_roles', 'character_sets', 'collations', 'columns', 'column_privileges', 'engines'],
    ...[
      'events',
      'global_variables',
      'innodb_buffer_page',
      'innodb_metrics',
      'innodb_sys_columns',
      'innodb_sys_tables',
    ],
    ...[
      'key_column_usage',
      'keywords',
      'parameters',
      'plugins',
      'routines',
      'schemata',
      'session_status',
      'statistics',
    ],
    ...['system_variables', 'tables', 'user_privileges'],
  ]

  it('all-tables.ts copies the tables of a database to Postgres', async () => {
    const source = await mysql.createConnection(shop.url)
    const server = inject('postgresUrl') ?? ''
    const copy = new pg.Client(server)
    await copy.connect()
    const database = `headgate_${randomUUID().replaceAll('-', '')}`
    await copy.query(`create database ${database}`)
    const url = Object.assign(new URL(server), { pathname: `/${database}` }).href
    const target = new pg.Client(url)
    await target.connect()
    try {
      for (const view of views)
        await source.query(`create table \`${view}\` as select * from information_schema.${view}`)
      await source.query('create table readings (day date, at datetime(3), value float)')
      await source.query(
        `insert into readings values ('0000-00-00', '0000-00-00', 0.1), (null, '2024-01-01', 16777217)`,
      )
      await source.query('create table `a "b` (`select` int primary key auto_increment, `{{order}}` text)')
      await source.query("insert into `a \"b` values (1, null), (2, 'x')")
      const lines = await run('all-tables.ts', shop.url, url)
      expect(lines.filter((line) => !line.includes('successful'))).toEqual([])
      const readings = await target.query('select day, at::text, value from readings')
      expect(readings.rows).toEqual([
        { day: null, at: null, value: expect.closeTo(0.1) },
        { day: null, at: '2024-01-01 00:00:00', value: 16777216 },
      ])
      for (const name of [...views, 'a "b']) {
        const [[expected]] = await source.query<mysql.RowDataPacket[]>(`select count(*) as n from \`${name}\``)
        const found = await target.query(`select count(*)::int as n from ${pg.escapeIdentifier(name)}`)
        expect({ name, ...found.rows[0] }).toEqual({ name, ...expected })
      }
    } finally {
      await Promise.all([source.end(), target.end()])
      await copy.query(`drop database ${database}`)
      await copy.end()
    }
  })
})

describePostgres('the example on Postgres and OpenSearch', (database) => {
  describeOpensearch('with a server of its own', (server) => {
    it('search-index.ts prints what it says', async () => {
      try {
        await expectPromised('search-index.ts', database.url, server.url)
      } finally {
        await server.send('DELETE', '/product,product_search-headgate-*?ignore_unavailable=true')
      }
    })

    it('search-map fills, follows and replaces an index, and draws what it reads of it', async () => {
      const folder = await mkdtemp(join(tmpdir(), 'headgate-map-'))
      const path = join(folder, 'map.svg')
      try {
        const lines = await run('search-map/index.ts', server.url, path, 'FR')
        expect(lines.map((line) => line.replace(/, \d+ rows per second$/, ''))).toEqual([
          expect.stringMatching(/^dead letter: Bordeaux .*illegal latitude value \[451.5\]/),
          'cities successful: 8835 written, 1 failed',
          'cities successful: 39 written, 0 failed',
          '4 found for "bordeaux"',
          'reload successful: 8836 written, 0 failed',
          'map successful: 8836 written, 0 failed',
          `The map of 8836 cities is in ${path}.`,
        ])
        expect(await readFile(path, 'utf8')).toMatch(/^<svg .*<path fill="#ff7f0e" d="M\d.*<\/svg>\n$/s)
      } finally {
        await server.send('DELETE', '/cities,cities_search-headgate-*?ignore_unavailable=true')
        await rm(folder, { recursive: true })
      }
    })
  })
})
