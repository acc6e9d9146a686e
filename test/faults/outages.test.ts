import { setTimeout } from 'node:timers/promises'
import { isLive } from 'headgate'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type OwnPostgres, startEmbedded } from '../support/postgres.js'
import { Cluster } from './cluster.js'
import { fillSource, rowCount } from './source.js'

describe('when the Postgres of storage and source', () => {
  let server: OwnPostgres
  let cluster: Cluster
  beforeEach(async () => {
    server = await startEmbedded()
    await fillSource(server.url)
  })
  afterEach(async () => {
    await cluster.close()
    await server.stop()
  })

  const open = async (lease: number, size: number) => {
    cluster = await Cluster.open(
      { storage: { kind: 'postgres', url: server.url }, source: server.url, kinds: ['replace', 'append'], lease },
      size,
    )
    return [...cluster.nodes.values()]
  }

  test('is restarted in mid-run, the job survives it', async () => {
    const [node] = await open(10_000, 2)
    const answer = await node?.tell({ do: 'start', type: 'ingestion', id: 'replace-0' })
    await cluster.until('ingestion', 'replace-0', ({ count }) => count > 0)
    await server.restart(500)
    const { state, count, executionId } = await cluster.ended('ingestion', 'replace-0')
    expect({ state, count, executionId }).toEqual({
      state: 'successful',
      count: rowCount,
      executionId: answer?.executionIds?.[0],
    })
    expect(await cluster.isWhole('replace-0')).toBe(true)
  }, 60_000)

  test('is away for longer than a lease, the job goes on when it is back, by itself', async () => {
    const [node] = await open(1000, 2)
    await node?.tell({ do: 'start', type: 'ingestion', id: 'append-0' })
    await cluster.until('ingestion', 'append-0', ({ count }) => count > 0)
    await server.restart(3000)
    const { state } = await cluster.ended('ingestion', 'append-0')
    expect(state).toBe('successful')
    expect(await cluster.isWhole('append-0')).toBe(true)
  }, 60_000)

  test('is away while a job ends, and for longer than its lease, it is told as it ended', async () => {
    const [node] = await open(2500, 2)
    const answer = await node?.tell({ do: 'start', type: 'test', id: 'second' })
    await setTimeout(100)
    await server.restart(4000)
    const { state, executionId } = await cluster.ended('test', 'second')
    expect({ state, executionId }).toEqual({ state: 'successful', executionId: answer?.executionIds?.[0] })
  }, 60_000)

  test('loses all its connections every 200 ms for 10 s, jobs go on and end', async () => {
    await open(5000, 3)
    const admin = new pg.Client({ connectionString: server.url })
    await admin.connect()
    const ids = Array.from({ length: 6 }, (_, n) => `${n % 2 ? 'replace' : 'append'}-${n}`)
    for (const id of ids) await cluster.start('ingestion', id)
    let ended = 0
    for (const end = Date.now() + 10_000; Date.now() < end; await setTimeout(200)) {
      await admin.query(
        'select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and client_port > 0',
      )
      ended++
    }
    await admin.end()
    expect(ended).toBeGreaterThan(20)
    for (const id of ids) {
      const { state } = await cluster.ended('ingestion', id)
      expect([id, state, await cluster.isWhole(id)]).toEqual([id, 'successful', true])
    }
    expect((await cluster.storage.live({ type: 'ingestion' })).hits.filter(({ state }) => isLive(state))).toEqual([])
  }, 90_000)
})
