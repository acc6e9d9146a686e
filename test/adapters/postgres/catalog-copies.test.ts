import { JobRegistry, memoryStorage } from 'headgate'
import { postgresDatasource, postgresTarget } from 'headgate/postgres'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { type FreshDatabase, freshDatabase } from '../../support/postgres.js'

/** What the error of a refused relation says, before the first row. */
const refusals = [
  /whose values Postgres reads from text, got `\w+` of the type (anyarray|pg_node_tree|pg_ndistinct|pg_dependencies|pg_mcv_list|regproc)\b/,
  /got `xmin`: rename it with `columns`/,
  // What the server does not let the role or the session read.
  /Could not execute datasource query/,
]

/** What each session sees in its own way. */
const ofSession = /^pg_(cursors|prepared_statements|settings|backend_memory_contexts|locks|stat_activity)$/

const isSame = (one: unknown, other: unknown) => JSON.stringify(one) === JSON.stringify(other)

describePostgres('every table and view of the catalogs', (database) => {
  let other: FreshDatabase
  let source: pg.Pool
  let target: pg.Pool
  beforeAll(async () => {
    other = await freshDatabase(database.url)
    source = new pg.Pool({ connectionString: other.url })
    target = new pg.Pool({ connectionString: database.url })
    for (const pool of [source, target]) pool.on('error', () => undefined)
  })
  afterAll(async () => {
    await Promise.all([source.end(), target.end()])
    await other.drop()
  })

  // About 200 copies: each type that Postgres has is in one of them.
  test('is copied with the types and the text of its values, or refused before the first row', {
    timeout: 300_000,
  }, async () => {
    await using registry = new JobRegistry({ storage: memoryStorage() })
    const datasource = postgresDatasource({ pool: source })
    const { rows: relations } = await source.query<{ schema: string; name: string }>(`
      select nspname as schema, relname as name
      from pg_class join pg_namespace n on n.oid = relnamespace
      where nspname in ('pg_catalog', 'information_schema') and relkind in ('r', 'v')
      order by 1, 2`)
    await target.query('create schema pg; create schema info; create schema checkpoints')
    const textOf = async (pool: pg.Pool, relation: string) =>
      (await pool.query(`select x::text as row from ${relation} x`)).rows.map(({ row }) => row).sort()
    const typesOf = async (pool: pg.Pool, relation: string) =>
      (
        await pool.query(`select attname, format_type(case typtype when 'd' then typbasetype else t.oid end, null)
          from pg_attribute join pg_type t on t.oid = atttypid
          where attrelid = '${relation}'::regclass and attnum > 0 order by attnum`)
      ).rows
    const copy = async ({ schema, name }: { schema: string; name: string }) => {
      const [from, to] = [`${schema}.${name}`, `${schema === 'pg_catalog' ? 'pg' : 'info'}.${name}`]
      const id = from
      const made = postgresTarget({
        pool: target,
        table: to,
        createTable: true,
        checkpoints: `checkpoints.${name}`,
      })
      registry.define({ id, datasource, query: `select * from ${from}`, target: made })
      const before = await textOf(source, from).catch(() => undefined)
      const { state, ...status } = await (await registry.start('ingestion', id)).finished
      if (state !== 'successful') return { id, isRefused: true, isStable: false, status }
      expect([id, await typesOf(target, to)]).toEqual([id, await typesOf(source, from)])
      const copied = await textOf(target, to)
      // What changes meanwhile, such as statistics and locks, cannot be compared.
      const isStable = !ofSession.test(name) && (isSame(copied, before) || isSame(before, await textOf(source, from)))
      if (isStable) expect([id, copied]).toEqual([id, before])
      return { id, isRefused: false, isStable, status }
    }
    const ends: Awaited<ReturnType<typeof copy>>[] = []
    const lane = async () => {
      for (let next = relations.pop(); next; next = relations.pop()) ends.push(await copy(next))
    }
    await Promise.all([lane(), lane(), lane()])
    const refused = ends.filter(({ isRefused }) => isRefused)
    for (const { id, status } of refused) {
      expect([id, status]).toMatchObject([id, { count: 0 }])
      const text = JSON.stringify(status)
      expect([id, refusals.some((refusal) => refusal.test(text)) || text]).toEqual([id, true])
    }
    expect(refused.map(({ id }) => id)).toContain('pg_catalog.pg_stats')
    const compared = ends.filter(({ isStable }) => isStable)
    expect(compared.length).toBeGreaterThan(100)
  })
})
