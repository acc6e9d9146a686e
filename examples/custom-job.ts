/**
 * A job type of your own: it says how far it has come, stops when it is asked to, and goes on where it stopped.
 *
 *     npx tsx examples/custom-job.ts
 */
import { setTimeout } from 'node:timers/promises'
import { JobRegistry, memoryStorage } from 'headgate'

// #region define
const registry = new JobRegistry({ storage: memoryStorage(), progressInterval: 0 })

registry.define({
  type: 'import',
  id: 'orders',
  async run({ checkpoint, signal, progress }) {
    const first = typeof checkpoint === 'number' ? checkpoint : 1
    let count = 0
    for (let page = first; page <= 10; page++) {
      const orders = await fetchOrders(page, signal)
      count += orders.length
      progress({ count, lastId: Math.max(...orders), checkpoint: page + 1 })
    }
    progress({ checkpoint: null }) // all pages were read: the next execution starts from the beginning
  },
})

/** Stands for a call to a remote service: 100 order numbers per page. */
async function fetchOrders(page: number, signal: AbortSignal): Promise<number[]> {
  await setTimeout(20, undefined, { signal })
  return Array.from({ length: 100 }, (_, index) => (page - 1) * 100 + index + 1)
}
// #endregion

// #region abort
await registry.start('import', 'orders')
await new Promise<void>((resolve) => {
  registry.on('progress', ({ status }) => {
    if (status.count === 300) resolve()
  })
})
const aborted = await registry.abort('import', 'orders') // resolves when the job has stopped
console.log(aborted?.state, aborted?.count, aborted?.lastId)
// aborted 300 300
// #endregion

// #region resume
const execution = await registry.start('import', 'orders')
const { state, count, lastId } = await execution.finished
console.log(state, count, lastId)
// successful 700 1000
// #endregion

await registry.close()
