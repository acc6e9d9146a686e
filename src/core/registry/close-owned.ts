import { errorMessages, withTimeout } from '../base/index.js'
import type { Runtime } from '../runtime/index.js'

/** A resource that the registry closes. */
export interface Owned {
  close?(): Promise<void>
}

/** Closes resources. Those that take longer, or fail, are left behind and logged. */
export async function closeInTime(
  { clock, logger }: Pick<Runtime, 'clock' | 'logger'>,
  owned: Record<string, Owned>,
  timeout: number,
): Promise<void> {
  const late: unknown = new Error(`Closing took longer than ${timeout} ms.`)
  const close = async ([name, one]: [string, Owned]) => {
    const closed = Promise.resolve().then(() => one.close?.())
    // In an object, as a promise would read properties of the error itself, which may throw.
    const failed = closed.then(
      () => undefined,
      (error: unknown) => ({ error }),
    )
    const failure = await withTimeout(clock, timeout, failed, { error: late })
    if (!failure) return
    logger.warn({ error: errorMessages(failure.error) }, `The ${name} did not close and was left behind.`)
  }
  await Promise.all(Object.entries(owned).map(close))
}
