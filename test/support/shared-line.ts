import { setTimeout } from 'node:timers/promises'
import type { Dispatcher, WaitingExecution } from 'headgate'
import type { DispatchWorker } from 'headgate/adapter'

/** A line in memory that registries share: each asks for a dispatcher of its own. */
export interface SharedLine {
  dispatcher(): Dispatcher
}

/** How long until a turn is given again that could not be taken, in milliseconds. */
const pause = 20

/** Makes a {@link SharedLine}, as BullMQ's would be. */
export function sharedLine(): SharedLine {
  let line: WaitingExecution[] = []
  const workers = new Map<DispatchWorker, number>()

  const give = () => {
    for (const [worker, busy] of workers) {
      if (busy >= (worker.limits.process ?? Number.POSITIVE_INFINITY)) continue
      const next = line.shift()
      if (!next) return
      workers.set(worker, busy + 1)
      void turn(worker, next)
    }
    if (line.length > 0 && [...workers].some(isFree)) give()
  }
  const isFree = ([{ limits }, busy]: [DispatchWorker, number]) => busy < (limits.process ?? Number.POSITIVE_INFINITY)
  const turn = async (worker: DispatchWorker, waiting: WaitingExecution) => {
    const isTaken = await worker.run(waiting)
    workers.set(worker, (workers.get(worker) ?? 1) - 1)
    if (!isTaken) {
      await setTimeout(pause)
      line.push(waiting)
    }
    give()
  }

  return {
    dispatcher() {
      let own: DispatchWorker
      return {
        isShared: true,
        work(worker) {
          own = worker
          workers.set(worker, 0)
        },
        async add(waiting) {
          line.push(...waiting.filter(({ executionId }) => !line.some((one) => one.executionId === executionId)))
          give()
        },
        async remove(executionId) {
          const before = line.length
          line = line.filter((one) => one.executionId !== executionId)
          return line.length < before
        },
        async move() {
          return false
        },
        async waiting({ from, size }) {
          return { total: line.length, hits: line.slice(from, from + size) }
        },
        async close() {
          workers.delete(own)
        },
      }
    },
  }
}
