/** The statuses of answers that do not wait for the body of their request. */
const early: readonly number[] = [413, 503]

/**
 * Whether an answer may come before the body of its request. What remains of the body would come before the next
 * request, so the connection closes unless the body has arrived meanwhile.
 */
export function answersEarly(status: number): boolean {
  return early.includes(status)
}
