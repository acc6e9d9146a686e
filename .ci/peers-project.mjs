// Serves one call on each server, runs one copy and one queue, with the versions of the project: node project.mjs
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { type } from 'arktype'
import express from 'express'
import Fastify from 'fastify'
import { JobRegistry, memoryStorage } from 'headgate'
import { bullmqDispatcher } from 'headgate/bullmq'
import { JobsClient } from 'headgate/client'
import { createJobsHandler } from 'headgate/http'
import { toExpressMiddleware } from 'headgate/http/express'
import { toFastifyPlugin } from 'headgate/http/fastify'
import { toKoaMiddleware } from 'headgate/http/koa'
import { postgresDatasource, postgresTarget } from 'headgate/postgres'
import { testDatasource } from 'headgate/testing'
import Koa from 'koa'
import * as v from 'valibot'
import { z } from 'zod'

const { HEADGATE_TEST_POSTGRES_URL: postgresUrl, HEADGATE_TEST_REDIS_URL: redisUrl } = process.env
const versionOf = (name) => createRequire(import.meta.url)(`./node_modules/${name}/package.json`).version
const done = []

const registry = new JobRegistry({ storage: memoryStorage() })
registry.define({ type: 'report', id: 'daily', run: () => {} })
await (await registry.start('report', 'daily')).finished
const handler = createJobsHandler(registry, { basePath: '/jobs' })

/** Calls a server that listens. */
async function call(name, port) {
  const status = await new JobsClient({ url: `http://127.0.0.1:${port}/jobs` }).status('report', 'daily')
  const elsewhere = await fetch(`http://127.0.0.1:${port}/elsewhere`)
  assert.deepEqual([status.state, elsewhere.status], ['successful', 404], name)
  done.push(`${name} ${versionOf(name)}`)
}

const listening = (app) =>
  new Promise((resolve) => {
    const server = app.listen(0, () => resolve(server))
  })
for (const [name, app] of [
  ['express', express().use(toExpressMiddleware(handler))],
  ['koa', new Koa().use(toKoaMiddleware(handler))],
]) {
  const server = await listening(app)
  await call(name, server.address().port)
  server.closeAllConnections()
  server.close()
}
const fastify = Fastify()
fastify.register(toFastifyPlugin(handler))
await fastify.listen({ port: 0 })
await call('fastify', fastify.server.address().port)
await fastify.close()
await registry.close()

// Schemas of the libraries that implement Standard Schema refuse a record with the place in it.
const schemas = {
  zod: z.object({ name: z.string() }),
  valibot: v.object({ name: v.string() }),
  arktype: type({ name: 'string' }),
}
for (const [id, schema] of Object.entries(schemas)) {
  const validating = new JobRegistry({ storage: memoryStorage() })
  const target = () => {}
  validating.define({ id: 'valid', datasource: testDatasource([{ name: 'Ann' }]), schema, target })
  validating.define({ id: 'invalid', datasource: testDatasource([{ name: 7 }]), schema, target })
  const run = async (job) => (await validating.start('ingestion', job)).finished
  assert.equal((await run('valid')).state, 'successful')
  assert.match((await run('invalid')).error.join(' '), /`name`: /)
  await validating.close()
  done.push(`${id} ${versionOf(id)}`)
}

if (postgresUrl) {
  const { default: pg } = await import('pg')
  const pool = new pg.Pool({ connectionString: postgresUrl })
  const table = `peers_${process.pid}`
  await pool.query(`create table ${table} (n int)`)
  const copies = new JobRegistry({ storage: memoryStorage() })
  copies.define({
    id: 'a',
    datasource: postgresDatasource({ pool }),
    query: 'select n from generate_series(1, 10) n',
    target: postgresTarget({ pool, table, checkpoints: `${table}_checkpoint` }),
  })
  const status = await (await copies.start('ingestion', 'a')).finished
  const { rows } = await pool.query(`select count(*)::int from ${table}`)
  await pool.query(`drop table ${table}, ${table}_checkpoint`)
  await copies.close()
  await pool.end()
  assert.deepEqual([status.error, status.state, rows[0].count], [undefined, 'successful', 10])
  done.push(`pg-copy-streams ${versionOf('pg-copy-streams')}`)
}

if (redisUrl) {
  const open = (options) => bullmqDispatcher({ connection: redisUrl, queue: `peers-${process.pid}`, ...options })
  const queued = new JobRegistry({ storage: memoryStorage(), dispatcher: open(), concurrency: { cluster: 1 } })
  const ends = new Promise((resolve) => {
    queued.on('status', ({ id, status }) => id === 'scheduled' && status.state === 'successful' && resolve())
  })
  queued.define({ type: 'report', id: 'queued', run: () => {} })
  queued.define({ type: 'report', id: 'scheduled', schedule: { every: 1000 }, run: () => {} })
  assert.equal((await (await queued.start('report', 'queued')).finished).state, 'successful')
  await ends
  await queued.close()
  // Backends are of BullMQ 6.
  if (versionOf('bullmq').startsWith('5.')) {
    const dispatcher = open({ connection: postgresUrl ?? 'postgres://127.0.0.1:1/none', backend: () => ({}) })
    const refused = new JobRegistry({ storage: memoryStorage(), dispatcher })
    await assert.rejects(refused.queued(), /npm install bullmq@6/)
    await refused.close()
  }
  done.push(`bullmq ${versionOf('bullmq')}`)
}
console.log(`works with ${done.join(', ')}`)
