import { setTimeout } from 'node:timers/promises'
import { type IngestionJob, isLive, JobRegistry, memoryStorage } from 'headgate'
import { postgresDatasource, postgresTarget } from 'headgate/postgres'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { describePostgres } from '../support/describe-postgres.js'

const rowCount = 3000

/** How often a connection of each side is terminated. */
const wanted = 3

const template = `select id, name from source {{#last_id}}where id > {{last_id}}{{/last_id}} order by id`

/** How the rows are asked for. */
const ways: Record<string, Pick<IngestionJob, 'query' | 'cursor' | 'parallel'>> = {
  template: { query: template },
  cursor: { query: 'table source', cursor: 'id' },
  pages: { query: 'table source', cursor: { columns: 'id', consistency: 'pages' } },
  ranges: { query: 'table source', cursor: 'id', parallel: 2 },
}

describePostgres('connections that are terminated at random moments', (database) => {
  let admin: pg.Pool
  let registry: JobRegistry
  beforeAll(async () => {
    admin = new pg.Pool({ connectionString: database.url })
    await admin.query(`create table source as select id, 'name ' || id as name from generate_series(1, ${rowCount}) id;
      alter table source add primary key (id)`)
  })
  afterEach(async () => {
    await registry.close()
    await admin.query('drop table if exists t, headgate_checkpoint')
  })
  afterAll(() => admin.end())

  /** The database, for connections of that name. */
  const named = (name: string) => {
    const url = new URL(database.url)
    url.searchParams.set('application_name', name)
    return url.href
  }

  /** Terminates one connection, if there is one. Gives its name. */
  const terminateOne = async () => {
    const { rows } = await admin.query(
      `select application_name as name, pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and application_name in ('reads', 'writes') order by random() limit 1`,
    )
    return rows[0]?.name as 'reads' | 'writes' | undefined
  }

  test.each(
    ['insert', 'upsert'].flatMap((mode) =>
      ['binary', 'text'].flatMap((format) => Object.keys(ways).map((way) => [mode, format, way] as const)),
    ),
  )(
    'are made anew, and every row arrives once: %s of %s rows by %s',
    async (mode, format, way) => {
      const isUpsert = mode === 'upsert'
      // Rows whose types are those of the table travel in binary form.
      await admin.query(
        `create table t (id int ${isUpsert ? 'primary key' : ''}, name ${format === 'text' ? 'varchar' : 'text'})`,
      )
      registry = new JobRegistry({
        storage: memoryStorage(),
        datasources: { source: postgresDatasource({ connectionString: named('reads') }) },
        progressInterval: 5,
      })
      registry.define({
        id: 'copy',
        datasource: 'source',
        pkField: 'id',
        batchSize: 20,
        rateLimit: { rows: rowCount },
        target: postgresTarget({
          connectionString: named('writes'),
          table: 't',
          ...(isUpsert && { mode, key: 'id' }),
        }),
        resume: 'auto',
        retry: { limit: 1000, delay: 2, maxDelay: 10 },
        ...ways[way],
      })
      const { finished } = await registry.start('ingestion', 'copy')
      const terminated = { reads: 0, writes: 0 }
      while (terminated.reads < wanted || terminated.writes < wanted) {
        // Ever slower: a machine that is busy must come on too.
        await setTimeout(Math.random() * (20 + 4 * (terminated.reads + terminated.writes)))
        const name = await terminateOne()
        if (name) terminated[name]++
        else if (!isLive((await registry.status('ingestion', 'copy'))?.state ?? 'successful')) break
      }
      const { state, count, lastId, detail, ...rest } = await finished
      expect([state, count, lastId, 'error' in rest && rest.error]).toEqual([
        'successful',
        rowCount,
        String(rowCount),
        false,
      ])
      expect(detail).toMatchObject({ read: rowCount, written: rowCount, failed: 0, skipped: 0 })
      expect(Math.min(terminated.reads, terminated.writes)).toBeGreaterThanOrEqual(wanted)
      const { rows } = await admin.query(`select count(*)::int, count(s.id)::int as same
        from t left join source s on s.id = t.id and s.name = t.name`)
      expect(rows).toEqual([{ count: rowCount, same: rowCount }])
    },
    60_000,
  )
})
