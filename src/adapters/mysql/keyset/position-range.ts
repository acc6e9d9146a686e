import type { CursorPosition, ReadCursor } from '../../../adapter.js'
import type { ReadSession } from '../read/index.js'
import { damaged } from './errors.js'
import type { Keyset } from './keyset.js'

/**
 * Throws `checkpoint` when a position lies outside the range of its partition: the partition would skip records, or read those of
 * another one. The server compares the values, in the order of the column. Both were validated.
 */
export async function checkRange(
  session: ReadSession,
  keyset: Keyset,
  { range, columns }: ReadCursor,
  position: CursorPosition | undefined,
): Promise<void> {
  const { after } = position ?? {}
  // A position of another cursor has its own message.
  const value = after?.columns[0] === columns[0] ? after?.values[0] : undefined
  if (typeof value !== 'string' || (range?.from === undefined && range?.until === undefined)) return
  const { rows } = await session.run(keyset.selectOutside(value, range))
  if (rows[0]?.includes('1')) throw damaged('Expected `cursor.after` to be in the range that it belongs to')
}
