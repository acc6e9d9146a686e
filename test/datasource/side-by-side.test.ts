import { RecordBatch } from 'headgate'
import { describe, expect, test } from 'vitest'
import { type ReadRange, readSideBySide } from '../../src/datasource/_postgres-parallel.js'
import { type Place, placeAt } from '../../src/datasource/_postgres-position.js'
import { Ranges } from '../../src/datasource/_postgres-ranges.js'
import type { Session } from '../../src/datasource/_postgres-session.js'
import { cursorBy } from './_read.js'

describe('ranges side by side', () => {
  const cursor = cursorBy('id')
  const sessions = [{}, {}] as Session[]

  const batchOf = (id: number) => {
    const batch = RecordBatch.fromRows([{ name: 'id', type: 'integer' }], [[String(id)]])
    batch.position = placeAt(cursor, [String(id)]) satisfies Place
    return batch
  }
  /** Reads ten ids of every range, which begins at a multiple of ten; `failsAt` fails. */
  const reading = (failsAt?: number) => {
    const seen: number[] = []
    const read: ReadRange = async function* (_, { after }) {
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
  const idOf = (batch: RecordBatch) => Number(batch.lastValueOf('id'))

  test('give the earliest that is there, while all read on', async () => {
    const { read, seen } = reading()
    const ranges = Ranges.of(cursor, undefined, ['10', '20', '30'])
    const batches = readSideBySide(sessions, ranges, read, 1000)
    const ids = [idOf((await batches.next()).value as RecordBatch)]
    await untilIdle()
    expect(seen).toHaveLength(40)
    for await (const batch of batches) ids.push(idOf(batch))
    expect(ids).toEqual(Array.from({ length: 40 }, (_, id) => id))
    expect(ranges.after).toEqual(placeAt(cursor, ['39']))
  })

  test('that cannot be read fail before others are read to their end', async () => {
    const { read } = reading(12)
    const ids: number[] = []
    const batches = readSideBySide(sessions, Ranges.of(cursor, undefined, ['10']), read, 1000)
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
    const batches = readSideBySide(sessions, Ranges.of(cursor, undefined, ['10']), read, 0)
    await batches.next()
    await batches.return(undefined)
    const { length } = seen
    await untilIdle()
    expect(seen).toHaveLength(length)
    expect(length).toBeLessThan(6)
  })
})
