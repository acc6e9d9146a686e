import fc from 'fast-check'
import { type IngestionJob, type JobRecord, JobRegistry, memoryStorage } from 'headgate'
import { RecordBatch } from 'headgate/adapter'
import { iterableDatasource } from 'headgate/iterable'
import { postgresDatasource } from 'headgate/postgres'
import { beforeEach, describe, expect, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { targetTests, write, writeContext } from './target-support.js'

describePostgres('a column that a record does not have', (database) => {
  const tests = targetTests(database)
  const { target, rows, opened, complete } = tests
  beforeEach(() =>
    tests.pool.query(`drop table if exists t, headgate_checkpoint;
      create table t (id int primary key, a text default 'none', b int[] default '{0}', c int default 5)`),
  )
  const upsert = { mode: 'upsert', key: 'id' } as const
  const ways = [{}, upsert, { strategy: 'replace' }, { strategy: 'replace', swap: 'rename' }] as const

  test.each(ways)('gets its default, whatever its neighbours have (%j)', async (way) => {
    await complete(target(way), [{ id: 1, a: 'x' }, { id: 2, c: 1 }], [{ id: 3, b: null }], [{ id: 4 }, { id: 5, a: undefined }]) // biome-ignore format: one line
    expect(await rows()).toEqual([
      [1, 'x', [0], 5],
      [2, 'none', [0], 1],
      [3, 'none', null, 5],
      [4, 'none', [0], 5],
      [5, null, [0], 5],
    ])
  })

  test.each(ways)('gets its default where `columns` names it and no record has it (%j)', async (way) => {
    await complete(target({ ...way, columns: { id: 'id', x: 'a', y: 'c' } }), [{ id: 1, x: 'x' }, { id: 2 }], [{ id: 3 }]) // biome-ignore format: one line
    expect(await rows()).toEqual([[1, 'x', [0], 5], [2, 'none', [0], 5], [3, 'none', [0], 5]]) // biome-ignore format: one line
  })

  test('is left alone by an upsert', async () => {
    await tests.pool.query(`insert into t values (1, 'old', '{1}', 1), (2, 'old', '{1}', 1)`)
    await complete(target(upsert), [
      { id: 1, a: 'new' },
      { id: 2, c: 2 },
      { id: 3, b: [2] },
    ])
    expect(await rows()).toEqual([[1, 'new', [1], 1], [2, 'old', [1], 2], [3, 'none', [2], 5]]) // biome-ignore format: one line
  })

  test('of the key is an error that names the record', async () => {
    const writer = await opened(target(upsert))
    const batch = RecordBatch.fromRecords<JobRecord>([{ id: 1, a: 'x' }, { a: 'x' }])
    await expect(async () => writer.write(batch, writeContext)).rejects.toMatchObject({
      code: 'target',
      message: 'Expected records with the column `id` of the key, got a.',
      recordIndex: 1,
    })
  })

  test('is one too many when there is no other', async () => {
    const writer = await opened(target())
    const batch = RecordBatch.fromRecords<JobRecord>([{ id: 1 }, {}])
    await expect(async () => writer.write(batch, writeContext)).rejects.toMatchObject({
      message: 'Expected records with at least one column, got none.',
      recordIndex: 1,
    })
  })

  test('does not hide which record is refused', async () => {
    const writer = await opened(target(), { toleratesFailures: true })
    const batch = RecordBatch.fromRecords<JobRecord>([{ id: 1 }, { id: 2, a: 'x' }, { id: 3 }, { id: 'x', a: 'y' }])
    await expect(async () => writer.write(batch, writeContext)).rejects.toMatchObject({ recordIndex: 3 })
    await write(writer, [{ id: 1 }, { id: 2, a: 'x' }])
    await writer.flush?.(null)
    expect(await rows('select id, a from t order by id')).toEqual([[1, 'none'], [2, 'x']]) // biome-ignore format: one line
  })

  describe.each(ways)('whose domain refuses null (%j)', (way) => {
    beforeEach(() =>
      tests.pool.query(`drop schema if exists own cascade; create schema own; create domain own.filled as text not null;
        create domain own.nested as own.filled; create domain own.present as numeric(5,2) check (value is not null);
        create domain own.list as int[] not null; create domain own.free as text check (value <> 'x');
        create domain own.preset as text default 'p' not null; create domain own.inherited as own.preset`),
    )
    const create = (type: string) =>
      tests.pool.query(`drop table if exists t; create table t (id int primary key, "a ""c""" ${type})`)
    const name = 'a "c"'

    async function run(job: Partial<IngestionJob> & Pick<IngestionJob, 'datasource'>) {
      await using registry = new JobRegistry({ storage: memoryStorage() })
      registry.define({ id: 'job', target: target(way), ...job } as IngestionJob)
      return await (await registry.start('ingestion', 'job')).finished
    }

    const encoded = () => ({ datasource: postgresDatasource({ pool: tests.pool }), query: 'select 1 as id' })

    const refusing = ['filled', 'nested', 'present', 'list', 'free not null', 'preset default null']
    test.each(refusing)('fails the job, as in an insert: %s', async (type) => {
      await create(`own.${type}`)
      await expect(tests.pool.query('insert into t (id) values (1)')).rejects.toMatchObject({ code: /^23/ })
      const datasource = iterableDatasource([{ id: 1 }])
      expect(await run({ datasource })).toMatchObject({ state: 'error', count: 0 })
      expect(await run(encoded())).toMatchObject({ state: 'error', count: 0 })
      expect(await rows()).toEqual([])
    })

    test('makes dead letters of the records that lack it', async () => {
      await create('own.filled')
      const datasource = iterableDatasource([{ id: 1, [name]: 'x' }, { id: 2 }, { id: 3, [name]: null }, { id: 4, [name]: 'y' }]) // biome-ignore format: one line
      const letters: unknown[] = []
      const deadLetters = async (batch: RecordBatch) => void letters.push(...batch.records())
      const status = await run({ datasource, failures: { deadLetters } })
      expect(status).toMatchObject({ state: 'successful', detail: { written: 2, failed: 2 } })
      expect(letters).toMatchObject([{ record: { id: 2 } }, { record: { id: 3 } }])
      expect(await rows()).toEqual([[1, 'x'], [4, 'y']]) // biome-ignore format: one line
    })

    test.each([
      ['filled default 4', '4'],
      ['preset', 'p'],
      ['inherited', 'p'],
      ['free', null],
    ])('gets its default: %s', async (type, value) => {
      await create(`own.${type}`)
      expect(await run({ datasource: iterableDatasource([{ id: 1 }]) })).toMatchObject({ state: 'successful' })
      expect(await rows()).toEqual([[1, value]])
      if ('strategy' in way || 'mode' in way) expect(await run(encoded())).toMatchObject({ state: 'successful' })
      expect(await rows()).toEqual([[1, value]])
    })
  })

  test('is refused by its domain once it has lost its default in mid-run', async () => {
    await tests.pool.query(`drop domain if exists kept cascade; create domain kept as int not null;
      drop table t; create table t (id int primary key, a kept default 1)`)
    const writer = await opened(target())
    await write(writer, [{ id: 1 }])
    await writer.flush?.(null)
    await tests.pool.query('alter table t alter a drop default')
    await expect(write(writer, [{ id: 2 }]).then(() => writer.flush?.(null))).rejects.toThrow('Could not write')
    expect(await rows()).toEqual([[1, 1]])
  })

  describe('in an upsert of any records', () => {
    type Row = { id: number; a: string | null; b: number[] | null; c: number | null }
    const record = fc.record(
      {
        id: fc.integer({ min: 1, max: 4 }),
        a: fc.constantFrom('x', 'y', null),
        b: fc.constantFrom([1], [[1, 2], [3, 4]], [], null), // biome-ignore format: one line
        c: fc.constantFrom(1, 2, null),
      },
      { requiredKeys: ['id'] },
    )

    /** One record after the other. */
    function merged(records: readonly Partial<Row>[]): unknown[] {
      const rows = new Map<number, Partial<Row>>()
      for (const record of records) {
        const id = record.id as number
        rows.set(id, { ...(rows.get(id) ?? { id, a: 'none', b: [0], c: 5 }), ...record })
      }
      return [...rows.values()].sort((a, b) => Number(a.id) - Number(b.id)).map(({ id, a, b, c }) => [id, a, b, c])
    }

    test.each([false, true])(
      'leaves the rows as if each was merged by itself (with failures: %s)',
      async (toleratesFailures) => {
        await fc.assert(
          fc.asyncProperty(
            fc.array(fc.array(record, { minLength: 1, maxLength: 8 }), { minLength: 1, maxLength: 4 }),
            async (batches) => {
              await tests.pool.query('truncate t')
              const writer = await opened(target(upsert), { toleratesFailures })
              for (const batch of batches) await write(writer, batch as JobRecord[])
              await writer.flush?.(null)
              await writer.commit?.()
              expect(await rows()).toEqual(merged(batches.flat() as Partial<Row>[]))
            },
          ),
          { numRuns: 60 },
        )
      },
    )
  })
})
