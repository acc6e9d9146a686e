import { type Column, RecordBatch } from 'headgate/adapter'
import { describe, expect, test } from 'vitest'
import { PostgresRows, readText } from '../../../src/adapters/postgres/protocol/encoded-rows.js'
import { CopyRows } from '../../../src/adapters/postgres/table/copy-rows.js'

const columns: Column[] = [{ name: 'a', type: 'text', sqlType: 'text' }]
const table = { sql: 't', title: 't', name: 't', columns: new Map([['a', { sqlType: 'text' }]]) }

/** The pieces that rows are sent in, which came in chunks of these sizes, in bytes. */
function piecesOf(sizes: readonly number[]) {
  const chunks = sizes.map((size, index) => Buffer.alloc(size, index))
  const encoded = new PostgresRows('postgres-binary', sizes.length, chunks, readText)
  const batch = RecordBatch.fromEncoded(columns, encoded)
  const [part] = new CopyRows(table as never, undefined).groupsOf(batch, false)
  return { chunks, pieces: [...(part?.pieces() ?? [])] as Uint8Array[] }
}

describe('rows that came in many small chunks', () => {
  test('are sent in few pieces, every byte in its place', () => {
    const { chunks, pieces } = piecesOf(Array.from({ length: 100 }, () => 8192))
    expect(pieces).toHaveLength(13)
    expect(Buffer.concat(pieces)).toEqual(Buffer.concat(chunks))
  })

  test('of which a large one is not copied', () => {
    const { chunks, pieces } = piecesOf([1 << 17, 10, 10])
    expect(pieces[0]).toBe(chunks[0])
    expect(pieces.map(({ length }) => length)).toEqual([1 << 17, 20])
  })
})
