/**
 * A point in the order: after all records with these values in the first columns, or before them.
 *
 * @experimental
 */
export interface Bound {
  /** The raw text of the first columns, of all or some. */
  readonly values: readonly unknown[]
  /** Whether the point is before the records with these values. */
  readonly isBefore: boolean
}

/**
 * A range of consecutive records.
 *
 * @experimental
 */
export interface CursorRange {
  /** Whether it contains the records with null in the first column. Otherwise it contains those without any null. */
  readonly isNull: boolean
  /** The exclusive start. Default: the beginning. */
  readonly after?: Bound | undefined
  /** The end. Default: none. */
  readonly until?: Bound | undefined
  /** How far before `until` the range starts at most. */
  readonly lookback?: Lookback | undefined
}

/**
 * A distance in the first column.
 *
 * @experimental
 */
export interface Lookback {
  /** Milliseconds for a date or timestamp, else the column's own unit. */
  readonly distance: number
  /** The SQL type of the column. */
  readonly type: string
  readonly isTime: boolean
}
