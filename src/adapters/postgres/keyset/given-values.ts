import { type CursorPosition, checkValue, invalid, JobError } from '../../../adapter.js'
import { isDataError } from '../client/index.js'
import type { ReadSession } from '../read/index.js'
import type { CursorType } from './cursor-types.js'
import { type CursorReading, type Description, describe } from './description.js'
import { staleFailure } from './errors.js'
import { Keyset } from './keyset.js'
import { checkOrder } from './order.js'
import { checkValues, orderIn, positionOf, textRule } from './stored-position.js'

/**
 * Checks the position that a reset gives against the columns of the query. Throws `invalid_options` for one that no read could resume from,
 * with the column and its type where one value is the reason.
 */
export async function checkGivenPosition(reading: CursorReading): Promise<void> {
  const { query, options } = reading
  const { cursor } = options
  const session = await reading.begin()
  try {
    const description = await describe(session, new Keyset(query, cursor.columns), reading)
    if (!description) throw staleFailure(1)
    await checkRecord(session, cursor.position as CursorPosition, description.types)
    await checkWhole(session, cursor, description)
  } finally {
    await session.release()
  }
}

/** Checks each value of the record, so that the message names its column. */
async function checkRecord(
  session: ReadSession,
  { after }: CursorPosition,
  types: readonly CursorType[],
): Promise<void> {
  for (const [index, name] of (after?.columns ?? []).entries()) {
    const type = types[index] as CursorType
    const value = after?.values[index]
    const field = `checkpoint.cursor.${name}`
    const rule = textRule(type)
    checkValue(field, value, rule)
    try {
      await session.run({ text: `select ($1::text)::${type.name}`, values: [value] })
    } catch (cause) {
      throw isDataError(cause) ? invalid(field, rule.expected, value, { cause }) : cause
    }
  }
}

/** Checks what a stored position holds besides: its order, its ranges. */
async function checkWhole(
  session: ReadSession,
  cursor: CursorReading['options']['cursor'],
  { order, types }: Description,
): Promise<void> {
  try {
    checkOrder(cursor.columns, orderIn(cursor), order)
    positionOf(cursor, types)
    await checkValues(session, cursor, types)
  } catch (cause) {
    if (!JobError.isInstance(cause)) throw cause
    throw invalid('checkpoint.cursor', 'a position of the cursor as it is now', cursor.position, { cause })
  }
}
