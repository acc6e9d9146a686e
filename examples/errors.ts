/**
 * What goes wrong, for programs and for people.
 *
 *     npx tsx examples/errors.ts
 */
import { JobError, JobRegistry, memoryStorage } from 'headgate'
import { postgresDatasource } from 'headgate/postgres'

// #region chain
const registry = new JobRegistry({
  storage: memoryStorage(),
  datasources: { postgres: postgresDatasource({ connectionString: 'postgres://user:secret@127.0.0.1:1/nowhere' }) },
})
registry.define({ id: 'events', datasource: 'postgres', query: 'select * from events', target: () => {} })

const execution = await registry.start('ingestion', 'events')
const status = await execution.finished // never rejects
if (status.state === 'error') console.log(status.error.join('\n'))
// Could not execute datasource query [postgres].
// Failed to initialize pool: The connection attempt failed.
// The connection attempt failed.
// connect ECONNREFUSED 127.0.0.1:1
// #endregion

// #region codes
try {
  await registry.start('ingestion', 'orders')
} catch (error) {
  if (!JobError.isInstance(error) || error.code !== 'not_defined') throw error
  console.log(error.message)
  // No job [ingestion/orders] is defined.
}
// #endregion

// #region own
registry.define({
  type: 'backup',
  id: 'nightly',
  run: () => {
    const cause = new Error('connect to ftp://backup:secret@files.example failed')
    throw new Error('Could not copy the files.', { cause })
  },
})

const backup = await registry.start('backup', 'nightly')
const failed = await backup.finished
if (failed.state === 'error') console.log(failed.error.join('\n'))
// Could not copy the files.
// connect to ftp://backup:***@files.example failed
// #endregion

// #region secrets
const registryOfTills = new JobRegistry({ storage: memoryStorage(), redact: ['open sesame'] })
registryOfTills.define({
  type: 'till',
  id: 'count',
  run: () => {
    throw new Error('The till of [open sesame] is locked.')
  },
})

const count = await registryOfTills.start('till', 'count')
const locked = await count.finished
if (locked.state === 'error') console.log(locked.error.join('\n'))
// The till of [***] is locked.
// #endregion

await registryOfTills.close()
await registry.close()
