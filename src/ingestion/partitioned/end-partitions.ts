import type { ExecutionContext } from '../../core/execution/index.js'
import { isEnded } from '../../core/model/index.js'

/**
 * Aborts all partitions, and waits until none is live or the job has lost its lease. `pause` waits for a change, and longer with each turn. A partition
 * that ignores its abort is asked again after twice as many turns.
 */
export async function endPartitions(
  { partitions, isHeld }: Pick<ExecutionContext, 'partitions' | 'isHeld'>,
  pause: (turn: number) => Promise<void>,
): Promise<void> {
  let asked: readonly number[] = []
  for (let turn = 1; ; turn++) {
    const live = await partitions.live()
    if (live.length === 0) return
    const asksAgain = Number.isInteger(Math.log2(turn))
    await Promise.all(live.filter((n) => asksAgain || !asked.includes(n)).map((n) => partitions.abort(n)))
    asked = live
    await pause(turn)
    if (!isHeld()) return
  }
}

/** Whether a job stops because its node closes, so that another node may resume it with its partitions. */
export async function isReleased({
  partitions,
  signal,
}: Pick<ExecutionContext, 'partitions' | 'signal'>): Promise<boolean> {
  const { aborted, reason } = signal
  if (!aborted || reason.code === 'max_duration') return false
  const parent = await partitions.parent()
  return parent !== undefined && parent.state !== 'aborting' && !isEnded(parent.state)
}
