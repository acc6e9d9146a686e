/**
 * A paged API as a datasource: each run reads what is new.
 *
 *     npx tsx examples/api.ts
 */
import { setTimeout } from 'node:timers/promises'
import { JobRegistry, memoryStorage } from 'headgate'
import { iterableDatasource } from 'headgate/iterable'

const registry = new JobRegistry({ storage: memoryStorage() })
let last = 250

// #region define
registry.define({
  id: 'orders',
  datasource: iterableDatasource(
    async function* ({ lastId, signal }) {
      for (let after = Number(lastId ?? 0); ; ) {
        const page = await fetchOrders(after, signal)
        yield* page
        if (page.length < 100) return
        after += page.length
      }
    },
    { resumes: true },
  ),
  pkField: 'id',
  target: (batch) => console.log(`${batch.length} orders, from ${batch.records()[0]?.id}`),
})

/** Stands for a call to a remote API: up to 100 orders after an id. */
async function fetchOrders(after: number, signal: AbortSignal): Promise<{ id: number }[]> {
  await setTimeout(20, undefined, { signal })
  return Array.from({ length: Math.min(100, last - after) }, (_, index) => ({ id: after + index + 1 }))
}
// #endregion

// #region run
async function run(): Promise<void> {
  const { finished } = await registry.start('ingestion', 'orders')
  const { state, count, lastId } = await finished
  console.log(`${state}: ${count} orders, up to ${lastId}`)
}

await run()
// 250 orders, from 1
// successful: 250 orders, up to 250
last = 260
await run()
// 10 orders, from 251
// successful: 10 orders, up to 260
// #endregion
await registry.close()
