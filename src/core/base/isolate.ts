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

function isThenable(value: unknown): boolean {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
}
