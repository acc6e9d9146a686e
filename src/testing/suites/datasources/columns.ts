import assert from 'node:assert/strict'
import type { Column, RecordBatch } from '../../../adapter.js'
import type { Cases } from '../suite.js'
import { read as readByCursor, readings } from './cursor.js'
import { type DatasourceFixture, read } from './fixture.js'

/** Begins a read, and checks what it tells of its columns until it ends. */
async function checkTold(
  begin: (onColumns: (columns: readonly Column[]) => void) => AsyncIterable<RecordBatch>,
): Promise<void> {
  const told: string[][] = []
  const namesOf = (columns: readonly Column[]) => columns.map(({ name }) => name)
  const once =
    'Expected `onColumns` to be called once, before the first batch, or the reason in `unsupported.onColumns`'
  for await (const { columns } of begin((columns) => void told.push(namesOf(columns)))) {
    assert.equal(told.length, 1, once)
    assert.deepEqual(told[0], namesOf(columns))
  }
  assert.equal(told.length, 1, once)
  assert.ok(told[0]?.includes('id'), 'Expected `onColumns` to be called with the columns of the query')
}

async function* batchesOf(batches: AsyncIterable<{ readonly batch: RecordBatch }>): AsyncGenerator<RecordBatch> {
  for await (const { batch } of batches) yield batch
}

export const columnsCases: Cases<DatasourceFixture> = {
  async 'columns: are told once, also when there are no records'(fixture) {
    for (const count of [25, 0]) {
      await checkTold((onColumns) => {
        const batches = read(fixture, fixture.query(count), { onColumns })
        return { [Symbol.asyncIterator]: () => batches }
      })
    }
  },
}

export const cursorColumnsCases: Cases<DatasourceFixture> = {
  async 'columns: by a cursor, are told once, also when there are no records'(fixture) {
    for (const { batchSize, ...cursor } of readings(fixture)) {
      for (const count of [25, 0]) {
        await checkTold((onColumns) =>
          batchesOf(readByCursor(fixture, fixture.query(count), batchSize, { ...cursor, onColumns })),
        )
      }
    }
  },
}

export const partitionColumnsCases: Cases<DatasourceFixture> = {
  async 'columns: of a range, are told once, also when it has no records'(fixture) {
    for (const range of [{ from: '6', until: '11' }, { from: '100' }]) {
      await checkTold((onColumns) => batchesOf(readByCursor(fixture, fixture.query(25), 10, { range, onColumns })))
    }
  },
}

export const parallelColumnsCases: Cases<DatasourceFixture> = {
  async 'columns: are told once for all readers'(fixture) {
    for (const count of [95, 0]) {
      const cursor = { parallel: 3, consistency: 'snapshot' } as const
      await checkTold((onColumns) =>
        batchesOf(readByCursor(fixture, fixture.query(count), 10, { ...cursor, onColumns })),
      )
    }
  },
}
