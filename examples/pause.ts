/**
 * The jobs of a registry, a pause of one of them, and another definition.
 *
 *     npx tsx examples/pause.ts
 */
import { JobError, JobRegistry, memoryStorage } from 'headgate'

const registry = new JobRegistry({ storage: memoryStorage() })

registry.define({ type: 'report', id: 'daily', run: () => {}, schedule: { cron: '0 3 * * *' } })
registry.define({ type: 'report', id: 'weekly', run: () => {}, schedule: { cron: '0 4 * * 1' } })

// #region pause
await registry.pause('report', 'daily', { reason: 'The source is being moved', by: 'ann' })

try {
  await registry.start('report', 'daily')
} catch (error) {
  if (!JobError.isInstance(error) || error.code !== 'paused') throw error
  console.log(error.code)
  // paused
}

const forced = await registry.start('report', 'daily', { force: true })
console.log((await forced.finished).state)
// successful
// #endregion

// #region jobs
for (const { id, paused, status } of await registry.jobs()) {
  console.log(`${id}: ${paused ? `paused by ${paused.by}` : 'not paused'}, ${status?.state ?? 'never ran'}`)
}
// daily: paused by ann, successful
// weekly: not paused, never ran
// #endregion

// #region unpause
await registry.unpause('report', 'daily')
// #endregion

// #region remove
await registry.abort('report', 'weekly')
registry.remove('report', 'weekly')
registry.define({ type: 'report', id: 'weekly', run: () => {}, schedule: { cron: '0 6 * * 1' } })
// #endregion

await registry.close()
