import { checkOptions, invalid, type Rule, rule } from '../../core/base/index.js'

/**
 * The consistency of the records of one execution:
 *
 * - `statement`: one streamed statement returns all records, as they were at one moment.
 * - `snapshot`: pages of `batchSize` records, each a statement of its own, as they were at one moment.
 * - `pages`: the same pages, each as its records were when it was read. No transaction lasts longer than a page. A record that
 *   changes during the read may be read twice, at its old and its new position, or only in a later run.
 */
export type Consistency = 'statement' | 'snapshot' | 'pages'

/** The columns that a job reads by. A run resumes after the last values that the target holds. */
export interface CursorOptions {
  /** The columns, as the query names them, most significant first. Records come in their ascending order. */
  columns: string | readonly string[]
  /**
   * What happens to records with null in a column, which have no position in the order. `fail`, the default: the job fails before
   * it reads anything. `skip`: the job skips them and counts them in `detail.withoutCursor`. `first`: records with null in the
   * first column come before all others, in the order of the other columns, where null still fails.
   */
  nulls?: 'fail' | 'skip' | 'first'
  /**
   * What happens to records that are equal in all columns. `refuse`, the default: the first two of them fail the job. `drain`: the
   * checkpoint moves past all of them at once, never between them.
   */
  ties?: 'refuse' | 'drain'
  /**
   * How far before the checkpoint a run begins, to include records that were committed late. In milliseconds if the first column is
   * a date or a timestamp, else in its own unit. Records of that range are read again. Not for a target that replaces. Default 0.
   */
  lookback?: number
  /** The consistency of the records of an execution, if the datasource keeps it. Default `statement`. */
  consistency?: Consistency
}

/** A range of values, as raw text: of the first column of a cursor, or of what a query compares. */
export interface ReadRange {
  /** The range begins at this value. Default: at the first value. */
  readonly from?: string
  /** The range ends before this value. Default: after the last value. */
  readonly until?: string
}

/** The cursor of a read, for datasources that read by one. */
export interface ReadCursor extends Required<CursorOptions> {
  /** At least one column, without duplicates. */
  readonly columns: readonly string[]
  /** How many ranges of the first column are read concurrently, from one snapshot. Their batches come in any order. */
  readonly parallel: number
  /** The `position` of the last batch that the target holds, as the datasource set it. `undefined` starts from the beginning. */
  readonly position: unknown
  /** Whether nothing was read yet: `position` is then where a partition begins, or the `start` of `partition`. Default `false`. */
  readonly isStart?: boolean
  /** Maximum number of records to read, excluding those repeated for `lookback` and the rest of the last group of ties. */
  readonly limit: number
  /** The range of the first column to read. Default: all. Nulls are checked in a range without a beginning only. */
  readonly range?: ReadRange
  /** The snapshot of `partition` to read from. */
  readonly snapshot?: string
  /** Called when the snapshot was gone and the read uses another one. */
  onSnapshotLost?(): void
  /** Called before the first batch with the number of records that are skipped for a null. */
  onNullsSkipped(count: number): void
}

export type Cursor = Omit<
  ReadCursor,
  'position' | 'isStart' | 'limit' | 'onNullsSkipped' | 'range' | 'snapshot' | 'onSnapshotLost'
>

const columnsRule = {
  accepts: (value: unknown) => {
    const columns = [value].flat()
    return columns.length > 0 && columns.every(rule.text.accepts) && new Set(columns).size === columns.length
  },
  expected: 'the name of a column, or an array of different names',
  hint: (value: unknown) => {
    const columns = [value].flat()
    const twice = columns.find((column, at) => columns.indexOf(column) < at)
    return typeof twice === 'string' ? ` that names \`${twice}\` twice` : ''
  },
} satisfies Rule

/** Validates the option `cursor`. `cursorOf` validates the fields of an object. */
export const cursorRule: Rule = {
  accepts: (value) => columnsRule.accepts(value) || isOptions(value),
  expected: `${columnsRule.expected}, or an object`,
  hint: columnsRule.hint,
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

/** The cursor of a job, with defaults. Throws `invalid_options` when it is not valid. */
export function cursorOf(cursor: string | readonly string[] | CursorOptions, parallel = 1): Cursor {
  const options = isOptions(cursor) ? cursor : { columns: cursor }
  checkOptions('cursor', options, cursorRules, 'cursor.')
  const { columns, nulls = 'fail', ties = 'refuse', lookback = 0 } = options
  const { consistency = parallel > 1 ? 'snapshot' : 'statement' } = options
  if (parallel > 1 && consistency !== 'snapshot') {
    throw invalid('cursor.consistency', '`snapshot` with `parallel`, as its readers share one snapshot', consistency)
  }
  return { columns: [columns].flat(), nulls, ties, lookback, consistency, parallel }
}

function isOptions(value: unknown): value is CursorOptions {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
