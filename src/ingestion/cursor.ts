import { checkOptions, invalid, type Rule, rule } from '../core/options.js'

/**
 * What the records of one execution have in common:
 *
 * - `statement`: one statement gave them all, as they were at one moment, and was streamed.
 * - `snapshot`: pages of `batchSize` records, each a statement of its own, as they were at one moment.
 * - `pages`: the same pages, each as its records were when it was read. No transaction lasts longer than a page. A record
 *   that changes meanwhile may come twice, in its old and its new place, or in a later run only.
 */
export type Consistency = 'statement' | 'snapshot' | 'pages'

/** Columns that a job reads by, in their order: it goes on after the last values that the target holds. */
export interface CursorOptions {
  /** The columns, as the query names them, the most significant first. Records come in ascending order of them. */
  columns: string | readonly string[]
  /**
   * What becomes of records with null in one of the columns, which have no place in the order. `fail`, the default: the job
   * fails before it reads anything. `skip`: they are left out, and counted in `detail.withoutCursor`. `first`: those with
   * null in the first column come before all others, in the order of the other columns, where null still fails.
   */
  nulls?: 'fail' | 'skip' | 'first'
  /**
   * What becomes of records with the same values in all columns. `refuse`, the default: the job fails at the first two of
   * them. `drain`: the checkpoint moves past all of them at once, and never in between.
   */
  ties?: 'refuse' | 'drain'
  /**
   * How far before the checkpoint a run begins, for records that are committed late: in milliseconds where the first column
   * is a date or a timestamp, else in its own unit. What was read there before comes again. Default 0.
   */
  lookback?: number
  /** What the records of an execution have in common. Default `statement`. */
  consistency?: Consistency
}

/** A range of the values of a column, as raw text: the first column of a cursor, or what a query compares. */
export interface ReadRange {
  /** Where it begins: with this value. Default: with the first there is. */
  readonly from?: string
  /** Where it ends: before this value. Default: behind the last there is. */
  readonly until?: string
}

/** How to read by a cursor: what a datasource is told that does. */
export interface ReadCursor extends Required<CursorOptions> {
  /** One column at least, none twice. */
  readonly columns: readonly string[]
  /** How many ranges of the first column are read side by side, as they were at one moment. Their batches come in any order. */
  readonly parallel: number
  /** The `position` of the last batch that the target holds, as the datasource gave it; `undefined` from the beginning. */
  readonly position: unknown
  /** The most records to read, not counting what comes again for `lookback`, nor the rest of the last group of ties. */
  readonly limit: number
  /** Which values of the first column to read. Default: all. Nulls are looked at where it has no beginning. */
  readonly range?: ReadRange
  /** What `partition` gave, to see what was seen then. */
  readonly snapshot?: string
  /** Is told when the snapshot was gone, and another one is read. */
  lostSnapshot?(): void
  /** Is told, before the first batch, how many records are left out for a null. */
  leaveOut(count: number): void
}

/** A job's cursor, with its defaults. */
export type Cursor = Omit<ReadCursor, 'position' | 'limit' | 'leaveOut' | 'range' | 'snapshot' | 'lostSnapshot'>

const columnsRule = {
  accepts: (value: unknown) => {
    const columns = [value].flat()
    return columns.length > 0 && columns.every(rule.text.accepts) && new Set(columns).size === columns.length
  },
  expected: 'the name of a column, or an array of different names',
} satisfies Rule

/** What a job may say as `cursor`; what is in an object of it, `cursorOf` checks. */
export const cursorRule: Rule = {
  accepts: (value) => columnsRule.accepts(value) || isOptions(value),
  expected: `${columnsRule.expected}, or an object`,
}

const cursorRules: Record<keyof CursorOptions, Rule> = {
  columns: columnsRule,
  nulls: rule.optional(rule.oneOf('fail', 'skip', 'first')),
  ties: rule.optional(rule.oneOf('refuse', 'drain')),
  lookback: rule.optional({
    accepts: (value) => typeof value === 'number' && value >= 0 && Number.isFinite(value),
    expected: 'a number from 0 up',
  }),
  consistency: rule.optional(rule.oneOf('statement', 'snapshot', 'pages')),
}

/** The cursor that a job says, with its defaults. Throws `invalid_options` for one that cannot be. */
export function cursorOf(cursor: string | readonly string[] | CursorOptions, parallel = 1): Cursor {
  const options = isOptions(cursor) ? cursor : { columns: cursor }
  checkOptions('cursor', options, cursorRules)
  const { columns, nulls = 'fail', ties = 'refuse', lookback = 0 } = options
  const { consistency = parallel > 1 ? 'snapshot' : 'statement' } = options
  if (parallel > 1 && consistency !== 'snapshot') {
    throw invalid('consistency', '`snapshot` beside `parallel`, as its readers see one moment', consistency)
  }
  return { columns: [columns].flat(), nulls, ties, lookback, consistency, parallel }
}

function isOptions(value: unknown): value is CursorOptions {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
