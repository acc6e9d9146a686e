/**
 * A job that starts by cron.
 *
 *     npx tsx examples/schedule.ts
 */
import { JobRegistry, memoryStorage } from 'headgate'

const registry = new JobRegistry({ storage: memoryStorage() })

// #region define
registry.define({
  type: 'report',
  id: 'nightly',
  run: ({ progress }) => progress({ count: 1 }),
  schedule: { cron: '0 3 * * *', timeZone: 'Europe/Berlin' },
})

const next = registry.nextRun('report', 'nightly') // in epoch milliseconds; `undefined` when there is none
console.log(new Intl.DateTimeFormat('en-GB', { timeStyle: 'short', timeZone: 'Europe/Berlin' }).format(next))
// 03:00
// #endregion
await registry.close()
