import { JobRegistry } from 'headgate'
import type { RecordBatch } from 'headgate/adapter'
import { postgresDatasource, postgresStorage, postgresTarget } from 'headgate/postgres'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { newExecutionId } from '../../../src/core/base/ids.js'
import { describePostgres } from '../../support/describe-postgres.js'

const other = newExecutionId('copy', 0)

/** SQL that sets a field of a checkpoint. */
const set = (path: string, value: unknown) =>
  `checkpoint = jsonb_set(checkpoint::jsonb, '{${path}}', '${JSON.stringify(value)}')::json`

/** What is done to a job of which two partitions are done, and the third is not: SQL for its tables, and why the job fails then. */
type Case = [what: string, sql: string, failure?: RegExp]

const stored = (n: number, change: string) => `update stored.job set ${change} where id = 'copy' and partition = ${n}`
const begins = ['', '4', '7']
const rowOf = (n: number) =>
  `coalesce(checkpoint->'range'->>'from', '') = '${begins[n]}' and checkpoint->'range' is not null`
const kept = (n: number, change: string) => `update headgate_checkpoint set ${change} where ${rowOf(n)}`
const position = 'cursor,after,values'
const done = `state = 'successful', error = null`

const inStorage: Case[] = [
  ['nothing', 'select 1'],
  ['a partition that is done without an end', stored(2, done)],
  ['a done partition that is said to have failed', stored(0, `state = 'error', error = '["It fails."]'`)],
]

const ofFunction: Case[] = [
  ...inStorage,
  ['a position before the range', stored(2, set(position, ['6'])), /`cursor.after` to be in the range/],
  ['another scheme of a done partition', stored(0, set('scheme', other)), /`checkpoint of partition 1`/],
  ['another scheme of a partition', stored(2, set('scheme', other)), /`checkpoint of partition 3`/],
  ['a partition less', `delete from stored.job where id = 'copy' and partition = 0`, /`checkpoint of partition 1`/],
  ['fewer records', stored(2, set('read', 0)), /`checkpoint of partition 3`/],
]

const ofTarget: Case[] = [
  ...inStorage,
  ['another scheme in storage', stored(0, set('scheme', other))],
  ['another scheme of a partition that is not done, in storage', stored(2, set('scheme', other))],
  ['another position of a done partition in storage', stored(1, set(position, ['8']))],
  ['no partition in storage', `delete from stored.job where id = 'copy' and partition is not null`],
  ['a position before the range', kept(2, set(position, ['6'])), /`cursor.after` to be in the range/],
  ['a position behind the range', kept(1, set(position, ['7'])), /`cursor.after` to be in the range/],
  ['no checkpoint of a done partition', `delete from headgate_checkpoint where ${rowOf(0)}`, /of partition 1 of job/],
  ['no checkpoint of a partition', `delete from headgate_checkpoint where ${rowOf(2)}`, /of partition 3 of job/],
  ['null for a checkpoint', kept(0, 'checkpoint = null'), /of partition 1 of job/],
  ['another scheme of a done partition', kept(0, set('scheme', other)), /of partition 1 of job/],
  ['another scheme of a partition', kept(2, set('scheme', other)), /of partition 3 of job/],
  ['no mark that a partition is done', kept(1, set('isDone', false))],
]

describePostgres('a job with partitions', (server) => {
  let pool: pg.Pool
  let registry: JobRegistry
  let isFailing = true
  const tables = ['stored.job', 'headgate_checkpoint', 'copy']

  const open = async (isOfTarget: boolean) => {
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
      id: 'copy',
      datasource: 'postgres',
      query: 'select id from source',
      cursor: 'id',
      partitions: ['4', '7'],
      batchSize: 1,
      transform: (record) => {
        if (isFailing && Number(record.id) === 8) throw new Error('It fails.')
        return record
      },
      target: isOfTarget ? postgresTarget({ pool, table: 'copy' }) : insert,
    })
    isFailing = true
    expect(await run()).toMatchObject({ state: 'error' })
    isFailing = false
    if (!isOfTarget) await pool.query('create table headgate_checkpoint ()')
    for (const table of tables) await pool.query(`create table ${table}_before as table ${table}`)
  }
  const run = async () => (await registry.start('ingestion', 'copy')).finished
  const restore = async () => {
    for (const table of tables) await pool.query(`delete from ${table}; insert into ${table} table ${table}_before`)
  }
  const close = async () => {
    await registry.close()
    await pool.query('drop schema stored cascade; drop table headgate_checkpoint_before, copy_before')
    await pool.end()
  }

  describe.each<[string, boolean, Case[]]>([
    ['a function', false, ofFunction],
    ['a table with its checkpoints', true, ofTarget],
  ])('that writes to %s loses and doubles no record without a word', (_, isOfTarget, cases) => {
    beforeAll(() => open(isOfTarget))
    afterAll(close)

    it.each<Case>(cases)('with %s', async (_, sql, failure) => {
      await restore()
      await pool.query(sql)
      const status = await run()
      const { rows } = await pool.query('select id from copy order by id')
      const ids = rows.map(({ id }) => Number(id))
      expect(ids).toEqual([...new Set(ids)])
      if (failure) {
        expect(status).toMatchObject({ state: 'error' })
        const errors = (status as { error: string[] }).error.join(' ')
        expect(errors).toMatch(failure)
        expect(errors).toMatch(/call `reset`/)
        await pool.query('truncate copy')
        // A partition that was left may be ending.
        await vi.waitFor(() => registry.reset('ingestion', 'copy'), 10_000)
        expect(await run()).toMatchObject({ state: 'successful', count: 9 })
        expect((await pool.query('select from copy')).rowCount).toBe(9)
      } else {
        expect(status).toMatchObject({ state: 'successful' })
        expect(ids).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9])
      }
    })
  })
})
