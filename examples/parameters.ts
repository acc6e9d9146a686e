/**
 * A job that is started with parameters.
 *
 *     npx tsx examples/parameters.ts
 */
import { JobRegistry, memoryStorage } from 'headgate'

const registry = new JobRegistry({ storage: memoryStorage() })

// #region start
registry.define({
  type: 'report',
  id: 'sales',
  run: ({ params }) => console.log(`The report of ${params.customer}.`),
})

const { finished } = await registry.start('report', 'sales', { params: { customer: 'acme' } })
// The report of acme.
console.log((await finished).params)
// { customer: 'acme' }
// #endregion
await registry.close()
