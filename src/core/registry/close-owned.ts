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
    const failed = closed.then(
      () => undefined,
      (error: unknown) => error ?? new Error('Closing failed.'),
    )
    const error = await withTimeout(clock, timeout, failed, late)
    if (error) logger.warn({ error: errorMessages(error) }, `The ${name} did not close and was left behind.`)
  }
  await Promise.all(Object.entries(owned).map(close))
}
