import { type IngestionJob, JobRegistry } from 'headgate'
import type { RecordBatch } from 'headgate/adapter'
import { postgresDatasource, postgresStorage, postgresTarget } from 'headgate/postgres'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'

type Json = Record<string, unknown>

/** A row that holds a checkpoint. */
interface Row {
  readonly table: string
  readonly where: string
  readonly checkpoint: Json
}

const cursor: Partial<IngestionJob> = { query: 'select id from source', cursor: 'id' }
const kinds: [kind: string, target: 'a function' | 'a table', job: Partial<IngestionJob>][] = [
  ['partitions', 'a function', { ...cursor, partitions: ['4', '7'] }],
  ['partitions', 'a table', { ...cursor, partitions: ['4', '7'] }],
  ['a cursor that is read in parallel', 'a function', { ...cursor, parallel: 2 }],
  [
    'max_primary_key',
    'a table',
    {
      query: 'select id from source {{#max_primary_key}}where id > {{max_primary_key}}{{/max_primary_key}} order by id',
      pkField: 'id',
    },
  ],
]

const tables = ['stored.job', 'headgate_checkpoint', 'copy']

describePostgres('a checkpoint of which one field was removed', (server) => {
  describe.each(kinds)('of a job with %s into %s', (_, target, job) => {
    let pool: pg.Pool
    let registry: JobRegistry
    let failing = 0
    const run = async () => (await registry.start('ingestion', 'copy')).finished
    const idsOf = async (table: string) =>
      (await pool.query(`select id from ${table} order by id`)).rows.map(({ id }) => Number(id))

    beforeAll(async () => {
      pool = new pg.Pool({ connectionString: server.url })
      await pool.query(`drop schema if exists stored cascade; drop table if exists headgate_checkpoint, source, copy;
        create table source as select id from generate_series(1::int8, 9) id; create table copy (id int8)`)
      registry = new JobRegistry({
        storage: postgresStorage({ pool, schema: 'stored' }),
        datasources: { postgres: postgresDatasource({ pool }) },
        concurrency: 1,
        progressInterval: 0,
      })
      const insert = async (batch: RecordBatch) => {
        for (const { id } of batch.records()) await pool.query('insert into copy values ($1)', [id])
      }
      registry.define({
        datasource: 'postgres',
        batchSize: 1,
        transform: (record) => {
          if (Number(record.id) === failing) throw new Error('It fails.')
          return record
        },
        target: target === 'a table' ? postgresTarget({ pool, table: 'copy' }) : insert,
        ...job,
        id: 'copy',
      } as IngestionJob)
      expect(await run()).toMatchObject({ state: 'successful' })
      await pool.query('insert into source select generate_series(10, 18)')
      failing = 14
      expect(await run()).toMatchObject({ state: 'error' })
      failing = 0
      await pool.query('create table if not exists headgate_checkpoint (key bytea, checkpoint json)')
      for (const table of tables) await pool.query(`create table ${table}_before as table ${table}`)
    })
    afterAll(async () => {
      await registry.close()
      await pool.query('drop schema stored cascade; drop table headgate_checkpoint_before, copy_before')
      await pool.end()
    })

    /** The row of the job and that of a partition, in storage and in the target. */
    const rowsOf = async (): Promise<Row[]> => {
      const { rows } = await pool.query(`
        select 'stored.job' as table, format('partition is not distinct from %L', partition) as where, checkpoint
          from stored.job where '${target}' = 'a function' and (partition is null or partition = 1)
        union all
        select 'headgate_checkpoint', format('key = %L', key), checkpoint
          from headgate_checkpoint where checkpoint->'range' is null or checkpoint->'range'->>'from' is null`)
      return rows
    }

    it('is refused before anything is written, or does not matter', async () => {
      const before = String(await idsOf('copy'))
      const all = String(await idsOf('source'))
      const wrong: string[] = []
      let runs = 0
      for (const { table, where, checkpoint } of await rowsOf()) {
        for (const path of pathsIn(checkpoint)) {
          const restoring = tables.map((table) => `delete from ${table}; insert into ${table} table ${table}_before`)
          await pool.query(restoring.join(';'))
          await pool.query(`update ${table} set checkpoint = $1 where ${where}`, [
            JSON.stringify(without(checkpoint, path)),
          ])
          const status = await run()
          runs++
          const ids = String(await idsOf('copy'))
          const isRefused = status.state === 'error' && /call `reset`/.test(String(status.error)) && ids === before
          const isRight = status.state === 'successful' && ids === all
          if (!isRefused && !isRight) wrong.push(`${table} where ${where}: ${path.join('.')}: ${status.state} ${ids}`)
        }
      }
      expect(wrong).toEqual([])
      expect(runs).toBeGreaterThan(12)
    }, 60_000)
  })
})

/** The fields of a checkpoint, of its plan and of its position. */
function pathsIn(checkpoint: Json): string[][] {
  const inner = ['scheme', 'cursor'].flatMap((name) => Object.keys(Object(checkpoint[name])).map((key) => [name, key]))
  return [...Object.keys(checkpoint).map((name) => [name]), ...inner.filter(([, key]) => !/^\d+$/.test(String(key)))]
}

function without(checkpoint: Json, [name, key]: string[]): Json {
  const copy = structuredClone(checkpoint)
  if (key === undefined) delete copy[name as string]
  else delete (copy[name as string] as Json)[key]
  return copy
}
