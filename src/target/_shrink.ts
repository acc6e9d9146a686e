import { JobError } from '../index.js'

/** How much smaller a target may become, unless said. */
export const defaultMaxShrink = 0.5

/** The fewest records that may take the place of `old` ones. */
export function fewestInPlaceOf(old: number, maxShrink: number): number {
  return old * (1 - maxShrink)
}

/** What is said when there are fewer. The job then starts from the beginning next time: going on would end here again. */
export function shrinkError(title: string, old: number, records: number, maxShrink: number): JobError {
  return new JobError(
    'target',
    `Refused to replace the ${old} records of \`${title}\` by ${records === 0 ? 'none' : records}: with \`maxShrink\` ${maxShrink}, ` +
      `${Math.ceil(fewestInPlaceOf(old, maxShrink))} or more are expected. The old ones stay. Raise \`maxShrink\` to allow it; 1 allows anything.`,
  )
}
