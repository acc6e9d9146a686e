import { type CursorPosition, invalid } from '../../../adapter.js'
import type { MemoryRecords } from './memory-read.js'
import { SortedRecords } from './sorted-records.js'

/** Throws `invalid_options` when a value of the position of a reset is none of its column, as the records have them. */
export async function checkGiven({ records }: MemoryRecords, { after }: CursorPosition): Promise<void> {
  if (!after) return
  const { columns } = await SortedRecords.of(records, after.columns)
  for (const [index, column] of columns.entries()) {
    const value = after.values[index]
    if (column.kind === undefined || column.parse(String(value)) !== undefined) continue
    throw invalid(`checkpoint.cursor.${column.name}`, `the text of a ${column.kind}`, value)
  }
}
