import { once } from 'node:events'
import net from 'node:net'
import { JobRegistry, type JobStorage, localDispatcher, memoryStorage } from 'headgate'
import type { Datasource, Dispatcher, Target } from 'headgate/adapter'
import { bullmqDispatcher } from 'headgate/bullmq'
import { elasticsearchDatasource, elasticsearchTarget } from 'headgate/elasticsearch'
import { iterableDatasource } from 'headgate/iterable'
import { mysqlDatasource } from 'headgate/mysql'
import { pgQueryStreamDatasource } from 'headgate/pg-query-stream'
import { postgresDatasource, postgresStorage, postgresTarget } from 'headgate/postgres'
import mysql from 'mysql2'
import pg from 'pg'
import { describe, expect, it } from 'vitest'
import { describePostgres } from '../support/describe-postgres.js'

/** A password that no form of a text shows the end of. */
const password = 'p;x,y}&z'
const encoded = encodeURIComponent(password)
/** Nothing listens there. */
const [host, port] = ['127.0.0.1', 1]

/** What shows of it when only a part is hidden. */
const parts = /p;x|x,y|y\}&|&z|%7D%26z/

/** What servers and drivers may say of it. */
const echoes = [
  `near "${password}": syntax error`,
  `cannot parse ${JSON.stringify({ given: password })}`,
  `no host in //u:${encoded}@`,
  `invalid value \\"${password}\\" (${Buffer.from(password).toString('base64')})`,
]

type Adapter = Datasource | Target | JobStorage | Dispatcher

const postgresUrl = `postgres://u:${encoded}@${host}:${port}/d`
const postgresPool = () => ({ pool: new pg.Pool({ host, port, user: 'u', password }) })
const mysqlUrl = `mysql://u:${encoded}@${host}:${port}/d`
const redisUrl = `redis://u:${encoded}@${host}:${port}`

const adapters: [name: string, make: () => Adapter][] = [
  ['postgresDatasource over a URL', () => postgresDatasource({ connectionString: postgresUrl })],
  ['postgresDatasource over a pool', () => postgresDatasource(postgresPool())],
  [
    'postgresDatasource over a pool with a URL',
    () => postgresDatasource({ pool: new pg.Pool({ connectionString: postgresUrl }) }),
  ],
  ['pgQueryStreamDatasource over a URL', () => pgQueryStreamDatasource({ connectionString: postgresUrl })],
  ['pgQueryStreamDatasource over a pool', () => pgQueryStreamDatasource(postgresPool())],
  ['postgresTarget over a URL', () => postgresTarget({ connectionString: postgresUrl, table: 't' })],
  ['postgresTarget over a pool', () => postgresTarget({ ...postgresPool(), table: 't' })],
  ['postgresStorage over a URL', () => postgresStorage({ connectionString: postgresUrl })],
  ['postgresStorage over a pool', () => postgresStorage(postgresPool())],
  ['mysqlDatasource over a URL', () => mysqlDatasource({ connectionString: mysqlUrl })],
  [
    'mysqlDatasource over a pool',
    () => mysqlDatasource({ pool: mysql.createPool({ host, port, user: 'u', password }) }),
  ],
  [
    'elasticsearchDatasource over a URL',
    () => elasticsearchDatasource({ node: `https://u:${encoded}@${host}:${port}`, index: 'i' }),
  ],
  [
    'elasticsearchTarget over a URL',
    () => elasticsearchTarget({ node: `https://u:${encoded}@${host}:${port}`, index: 'i' }),
  ],
  [
    'elasticsearchTarget with a login',
    () => elasticsearchTarget({ node: `https://${host}:${port}`, index: 'i', auth: { username: 'u', password } }),
  ],
  ['bullmqDispatcher over a URL', () => bullmqDispatcher({ connection: redisUrl })],
  ['bullmqDispatcher over options', () => bullmqDispatcher({ connection: { host, port, password } })],
]

/** A registry that knows an adapter, without its connections. */
function registryWith(adapter: Adapter): JobRegistry {
  const { secrets = [] } = adapter
  const storage = Object.assign(memoryStorage(), 'begin' in adapter && { secrets })
  const dispatcher = Object.assign(localDispatcher(), 'isShared' in adapter && { secrets })
  const registry = new JobRegistry({
    storage,
    dispatcher,
    ...('read' in adapter && { datasources: { source: adapter } }),
  })
  if ('open' in adapter) registry.define({ id: 'copy', datasource: iterableDatasource([]), target: adapter })
  return registry
}

/** A server that asks for the password in clear text, and repeats it. */
async function echoingServer(): Promise<net.Server> {
  const server = net.createServer((socket) => {
    let messages = 0
    socket.on('error', () => undefined)
    socket.on('data', (data) => {
      if (messages++ === 0) return socket.write(Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 3]))
      const body = Buffer.from(`SFATAL\0C28P01\0Mlogin with ${data.subarray(5, -1)} failed\0\0`)
      const length = Buffer.alloc(4)
      length.writeInt32BE(body.length + 4)
      return socket.end(Buffer.concat([Buffer.from('E'), length, body]))
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

it('hides the passwords that a function of a pool resolves to', async () => {
  const server = await echoingServer()
  const { port } = server.address() as net.AddressInfo
  let logins = 0
  const pool = new pg.Pool({ host, port, user: 'u', password: async () => `${password}${logins++}` })
  const one = postgresDatasource({ pool })
  const lines: unknown[] = []
  const log = (...line: unknown[]) => void lines.push(line)
  const registry = new JobRegistry({
    storage: memoryStorage(),
    logger: { debug: log, info: log, warn: log, error: log },
    datasources: { one, other: postgresDatasource({ pool }) },
  })
  for (const datasource of ['one', 'other']) {
    registry.define({ id: datasource, datasource, query: 'select 1 as id', target: () => undefined })
    const ended = await (await registry.start('ingestion', datasource)).finished
    expect(JSON.stringify(ended)).toContain('login with *** failed')
  }
  expect(JSON.stringify(lines)).not.toMatch(parts)
  // Tokens that rotate do not add up.
  for (let i = 0; i < 20; i++) await pool.connect().catch(() => undefined)
  expect(one).toMatchObject({ secrets: { length: 16 } })
  await registry.close()
  await pool.end()
  server.close()
})

describe('the password of a connection', () => {
  it.each(adapters)('of %s appears in no text of its registry', async (_, make) => {
    const adapter = make()
    const registry = registryWith(adapter)
    for (const echo of echoes) expect(registry.redactor.redact(echo)).not.toMatch(parts)
    await registry.close()
    expect(adapter.secrets).toContain(password)
  })

  it.each(['postgres', 'mysql', 'short'])('is not hidden when it is `%s`, which is a part of many messages', (word) => {
    const registry = new JobRegistry({
      storage: memoryStorage(),
      datasources: { source: postgresDatasource({ connectionString: `postgres://u:${word}@${host}:${port}/d` }) },
    })
    expect(registry.redactor.redact(`The ${word} server failed.`)).toBe(`The ${word} server failed.`)
  })

  it('is hidden in a text that was redacted before the adapter was given', () => {
    const registry = new JobRegistry({ storage: memoryStorage() })
    const shorten = () => registry.redactor.shorten(`near ${password}`, 2000)
    expect(shorten()).toContain(password)
    const target = postgresTarget({ connectionString: postgresUrl, table: 't' })
    registry.define({ id: 'copy', datasource: iterableDatasource([]), target })
    expect(shorten()).toBe('near ***')
  })
})

describePostgres('the password of a connection that a server repeats', (server) => {
  it('appears in no status and no log', async () => {
    const admin = new pg.Client({ connectionString: server.url })
    await admin.connect()
    const role = `holder_${Date.now()}`
    await admin.query(`create role ${role} login password '${password}'`)
    const url = new URL(server.url)
    Object.assign(url, { username: role, password: encoded })
    const logged: string[] = []
    const note = (...entry: unknown[]) => void logged.push(JSON.stringify(entry))
    const registry = new JobRegistry({
      storage: memoryStorage(),
      datasources: { source: postgresDatasource({ connectionString: url.href }) },
      logger: { debug: note, info: note, warn: note, error: note },
    })
    registry.define({ id: 'copy', datasource: 'source', query: `select '${password}'::int`, target: () => undefined })
    const { finished } = await registry.start('ingestion', 'copy')
    const status = await finished
    expect(JSON.stringify(status)).toContain('invalid input syntax for type integer')
    expect(JSON.stringify([status, logged])).not.toMatch(parts)
    await registry.close()
    await admin.query(`drop role ${role}`)
    await admin.end()
  })
})
