import { type CursorPosition, checkValue, invalid, JobError, type ReadCursor } from '../../../adapter.js'
import type { ReadSession } from '../read/index.js'
import type { CursorReading } from './cursor-read.js'
import type { CursorType } from './cursor-types.js'
import { type Description, describe } from './description.js'
import { Keyset } from './keyset.js'
import { checkOrder, checkValues, inexistentOf, positionOf, textRule } from './stored-position.js'

/**
 * The position that a reset gives, checked against the columns of the query, with its values as the server writes them. Throws
 * `invalid_options` for one that no read could resume from, with the column and its type where one value is the reason.
 */
export async function checkedPositionOf({ query, options, begin }: CursorReading): Promise<CursorPosition | undefined> {
  const { cursor } = options
  const session = await begin()
  try {
    const description = await describe(session, new Keyset(query, cursor.columns), query.text, cursor)
    await checkRecord(session, cursor, description.types)
    return await wholeOf(session, cursor, description)
  } finally {
    await session.release()
  }
}

/** Checks each value of the record, so that the message names its column. */
async function checkRecord(
  session: ReadSession,
  { position }: ReadCursor,
  types: readonly CursorType[],
): Promise<void> {
  const { after } = position as CursorPosition
  const given = (after?.columns ?? []).map((name, index) => {
    const field = `checkpoint.cursor.${name}`
    const type = types[index] as CursorType
    const value = after?.values[index]
    checkValue(field, value, textRule(type))
    return { field, index, value: type.rawFrom?.(value as string) ?? (value as string) }
  })
  const wrong = await inexistentOf(session, given, types)
  if (!wrong) return
  throw invalid(wrong.field, textRule(types[wrong.index]).expected, after?.values[wrong.index])
}

/** Checks what a stored position holds besides, such as its order. */
async function wholeOf(
  session: ReadSession,
  cursor: ReadCursor,
  { order, types }: Description,
): Promise<CursorPosition | undefined> {
  try {
    checkOrder(cursor, order)
    const position = positionOf(cursor, types)
    await checkValues(session, cursor, position, types)
    return position
  } catch (cause) {
    if (!JobError.isInstance(cause)) throw cause
    throw invalid('checkpoint.cursor', 'a position of the cursor as it is now', cursor.position, { cause })
  }
}
