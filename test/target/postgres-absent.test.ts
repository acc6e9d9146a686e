import fc from 'fast-check'
import { type JobRecord, RecordBatch } from 'headgate'
import { beforeEach, describe, expect, test } from 'vitest'
import { describePostgres } from '../support/describe-postgres.js'
import { targetTests, write, writeContext } from './_postgres.js'

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
