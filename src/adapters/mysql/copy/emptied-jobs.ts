import type { OpenContext, Row } from '../../../adapter.js'
import { countsOnRows, emptiedWarning, markedRows, parseKept } from '../../shared/index.js'
import { bytesLiteral, literal } from '../client/index.js'
import type { TableRef } from '../table/index.js'
import type { WriteSession } from '../write/index.js'
import { keyList } from './checkpoint-rows.js'

/** The SQL condition that a row is that of another job with a checkpoint, which has written to the table. */
function isOther({ facts }: WriteSession, { title }: TableRef, { type, id }: Pick<OpenContext, 'type' | 'id'>): string {
  const lower = facts.ignoresCase ? 'lower' : ''
  return (
    `${lower}(target) = ${lower}(${literal(title)}) and checkpoint is not null ` +
    `and not (type = ${literal(type)} and id = ${literal(id)})`
  )
}

/** A row of the table of checkpoints, with its key in hexadecimal. */
type Found = Parameters<typeof markedRows<string>>[0][number]

type Marked = ReturnType<typeof markedRows<string>>

const columns = 'hex(`key`), type, id, checkpoint'

/** Finds rows. A search that locks would wait for the jobs of other tables. */
async function findRows(session: WriteSession, checkpoints: TableRef, condition: string): Promise<Found[]> {
  return foundOf(await session.query(`select ${columns} from ${checkpoints.sql} where ${condition}`))
}

/** Locks those of them that still fulfil the condition, in the same order in every job. */
async function lockRows(
  session: WriteSession,
  checkpoints: TableRef,
  found: readonly Found[],
  condition: string,
): Promise<Found[]> {
  const keys = keyList(found.map(({ key }) => bytesOf(key)))
  const query = `select ${columns} from ${checkpoints.sql} where \`key\` in (${keys}) and (${condition}) order by \`key\` for update`
  return foundOf(await session.query(query))
}

function foundOf(rows: readonly Row[]): Found[] {
  return rows.map(([key, type, id, checkpoint]) => ({ key: String(key), type, id, checkpoint }))
}

async function storeMarks(session: WriteSession, checkpoints: TableRef, marked: Marked): Promise<void> {
  for (const { key, checkpoint } of marked) {
    await session.query(
      `update ${checkpoints.sql} set checkpoint = ${literal(checkpoint)} where \`key\` = ${bytesLiteral(bytesOf(key))}`,
    )
  }
}

/**
 * In the open transaction, before it removes all rows of the table: lets the other jobs that append to it know. Their open transactions end
 * first, as they hold their rows.
 */
export async function markEmptied(
  session: WriteSession,
  checkpoints: TableRef,
  table: TableRef,
  { type, id, warn }: Pick<OpenContext, 'type' | 'id' | 'warn'>,
): Promise<void> {
  const condition = isOther(session, table, { type, id })
  const others = await findRows(session, checkpoints, condition)
  if (others.length === 0) return
  const marked = markedRows(await lockRows(session, checkpoints, others, condition), { type, id })
  await storeMarks(session, checkpoints, marked)
  if (marked.length > 0) warn?.(emptiedWarning(jobsOf(marked), table.title))
}

/** What is known of a job that may find a table empty: also the key of its row, when that is to be marked. */
type Finder = Pick<OpenContext, 'type' | 'id' | 'executionId' | 'ifReset' | 'warn'> & {
  readonly own: Buffer | undefined
  /** Whether the table is empty. */
  isEmpty(): Promise<boolean>
}

/**
 * Before a job writes to a table that it finds empty, which then shows no more that it was: lets the other jobs know that have written to it.
 * Marks the own row too, when it is given, so that no other job does so later.
 */
export async function markFoundEmpty(
  session: WriteSession,
  checkpoints: TableRef,
  table: TableRef,
  { type, id, executionId, ifReset, warn, own, isEmpty }: Finder,
): Promise<void> {
  if (!(await isEmpty())) return
  const isOwn = own ? `\`key\` = ${bytesLiteral(own)} and execution = ${literal(executionId)}` : 'false'
  const condition = `${isOwn} or (${isOther(session, table, { type, id })})`
  const others = <Row extends { readonly key: string }>(rows: readonly Row[]) =>
    rows.filter(({ key }) => !own?.equals(bytesOf(key)))
  const mayMatter = (rows: readonly Found[]) => others(rows).some((row) => countsOnRows(parseKept(row.checkpoint, row)))
  const found = await findRows(session, checkpoints, condition)
  if (!mayMatter(found)) return
  await session.transaction(async () => {
    // No other job that counts on rows commits any from now on, and the first look at the table after this sees what it has committed.
    const rows = await lockRows(session, checkpoints, found, condition)
    if (!mayMatter(rows) || !(await isEmpty())) return
    const marked = markedRows(rows, { type, id, isFound: true })
    await storeMarks(session, checkpoints, marked)
    // A table that a consumer empties is no surprise.
    if (ifReset !== 'continue') warn?.(emptiedWarning(jobsOf(others(marked)), table.title, true))
  })
}

const bytesOf = (hex: string) => Buffer.from(hex, 'hex')

const jobsOf = (marked: Marked) => marked.map(({ job }) => job)
