/** Level 1: reads. The lines of a text file, which the query names. */
import { open } from 'node:fs/promises'
import type { Datasource } from 'headgate'
import { RecordBatch } from 'headgate/adapter'

export function linesDatasource(): Datasource {
  return {
    kind: 'lines',
    capabilities: { requiresQuery: true },
    async *read({ text: path }, { signal, batchSize }) {
      signal.throwIfAborted()
      const file = await open(path)
      try {
        let records: { id: number; text: string }[] = []
        let id = 0
        for await (const text of file.readLines()) {
          signal.throwIfAborted()
          records.push({ id: ++id, text })
          if (records.length < batchSize) continue
          yield RecordBatch.fromRecords(records)
          records = []
        }
        signal.throwIfAborted()
        if (records.length > 0) yield RecordBatch.fromRecords(records)
      } finally {
        await file.close()
      }
    },
  }
}
