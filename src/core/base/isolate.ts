/** Calls user code. Reports its errors and rejections instead of passing them on. */
export function isolate(call: () => unknown, report: (error: unknown) => void): void {
  try {
    const result = call()
    if (isThenable(result)) Promise.resolve(result).catch(report)
  } catch (error) {
    report(error)
  }
}

/** What a function of the user gives when it is tried, or `fallback` when it throws. Ignores a rejection. */
export function answerOf(call: () => unknown, fallback?: unknown): unknown {
  let answer = fallback
  const ask = () => {
    answer = call()
    return answer
  }
  isolate(ask, () => undefined)
  return answer
}

/** Whether a value can be awaited. One that cannot be read cannot. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  if (typeof value !== 'object' || value === null) return false
  try {
    return typeof (value as { then?: unknown }).then === 'function'
  } catch {
    return false
  }
}
