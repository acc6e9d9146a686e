import { type ReadBatch, RecordBatch } from 'headgate/adapter'
import { describe, expect, test } from 'vitest'
import type { ReadSession } from '../../src/adapters/postgres/read/read-session.js'
import { recordPositionOf } from '../../src/sql/cursor-position.js'
import { type RangeReader, readInParallel } from '../../src/sql/merge-readers.js'
import { Ranges } from '../../src/sql/range-queue.js'
import { cursorBy } from '../adapters/postgres/datasource-read.js'

describe('ranges side by side', () => {
  const cursor = cursorBy('id')
  const sessions = [{}, {}] as ReadSession[]

  const batchOf = (id: number): ReadBatch => ({
    batch: RecordBatch.fromRows([{ name: 'id', type: 'integer' }], [[String(id)]]),
    position: recordPositionOf(cursor, [String(id)]),
  })
  /** Reads ten ids of every range, which begins at a multiple of ten; `failsAt` fails. */
  const reading = (failsAt?: number) => {
    const seen: number[] = []
    const read: RangeReader<unknown> = async function* (_, { after }) {
      const start = Number(after?.values[0] ?? 0)
      for (let id = start; id < start + 10; id++) {
        if (id === failsAt) throw new RangeError(`no ${id}`)
        seen.push(id)
        yield batchOf(id)
      }
    }
    return { read, seen }
  }
  const untilIdle = () => new Promise((resolve) => setImmediate(resolve))
  const idOf = ({ batch }: ReadBatch) => Number(batch.lastValueOf('id'))

  test('give the earliest that is there, while all read on', async () => {
    const { read, seen } = reading()
    const ranges = Ranges.of(cursor, undefined, ['10', '20', '30'])
    const batches = readInParallel(sessions, ranges, read, 1000)
    const ids = [idOf((await batches.next()).value as ReadBatch)]
    await untilIdle()
    expect(seen).toHaveLength(40)
    for await (const batch of batches) ids.push(idOf(batch))
    expect(ids).toEqual(Array.from({ length: 40 }, (_, id) => id))
    expect(ranges.after).toEqual(recordPositionOf(cursor, ['39']))
  })

  test('that cannot be read fail before others are read to their end', async () => {
    const { read } = reading(12)
    const ids: number[] = []
    const batches = readInParallel(sessions, Ranges.of(cursor, undefined, ['10']), read, 1000)
    const reads = async () => {
      for await (const batch of batches) {
        ids.push(idOf(batch))
        await untilIdle()
      }
    }
    await expect(reads()).rejects.toThrow('no 12')
    expect(ids).toEqual([0, 10, 11])
  })

  test('are read no further when they are left', async () => {
    const { read, seen } = reading()
    const batches = readInParallel(sessions, Ranges.of(cursor, undefined, ['10']), read, 0)
    await batches.next()
    await batches.return(undefined)
    const { length } = seen
    await untilIdle()
    expect(seen).toHaveLength(length)
    expect(length).toBeLessThan(6)
  })
})
