import { JobError } from '../../adapter.js'

/** The default of `maxShrink`. */
export const defaultMaxShrink = 0.5

/** The minimum number of records that may replace `old` ones. */
export function fewestInPlaceOf(old: number, maxShrink: number): number {
  return old * (1 - maxShrink)
}

/** The error for too few records. The next run starts from the beginning, because resuming would fail again. */
export function shrinkError(title: string, old: number, records: number, maxShrink: number): JobError {
  return new JobError(
    'target',
    `Refused to replace the ${old} records of \`${title}\` by ${records === 0 ? 'none' : records}: with \`maxShrink\` ${maxShrink}, ` +
      `${Math.ceil(fewestInPlaceOf(old, maxShrink))} or more are expected. The old ones stay. Raise \`maxShrink\` to allow it; 1 allows anything.`,
  )
}
