/**
 * Jobs that wait for each other, seen from outside: events, statuses, an abort, and the log.
 *
 *     npx tsx examples/watch.ts
 */
import { setTimeout } from 'node:timers/promises'
import { JobRegistry, memoryStorage } from 'headgate'

// #region queue
const registry = new JobRegistry({ storage: memoryStorage(), concurrency: 1 })

for (const id of ['north', 'south', 'west']) {
  registry.define({
    type: 'report',
    id,
    run: ({ signal }) => setTimeout(300, undefined, { signal }),
  })
}
// #endregion

// #region listen
registry.on('status', ({ type, id, status }) => {
  console.log(`${type}/${id}: ${status.state}`)
})

const forget = registry.on('error', ({ id, status, cause }) => {
  console.error(id, status.error, cause) // messages for people, and what the job threw
})

registry.once('successful', ({ id, status }) => {
  console.log(`${id} is the first to be done: ${status.infos}`)
})
// #endregion

// #region start
const north = await registry.start('report', 'north')
// report/north: running
await registry.start('report', 'south')
// report/south: queued
await registry.start('report', 'west')
// report/west: queued

const live = await registry.running('report')
console.log(live.map(({ id, state }) => `${id} is ${state}`).join(', '))
// north is running, south is queued, west is queued
// #endregion

// #region abort
const status = await registry.abort('report', 'south', { timeout: 5000 })
// report/south: aborting
// report/south: aborted
if (status?.state === 'aborting') console.log('It has not stopped yet.')
// #endregion

// #region finished
const final = await north.finished
// report/north: successful
// north is the first to be done: The job is done.
if (final.state === 'error') console.log(final.error)
// #endregion

// #region search
const { total, hits } = await registry.search({
  type: 'report',
  state: 'aborted',
  startTimeFrom: Date.now() - 86_400_000,
  size: 100,
})
console.log(`${total} in all, the newest is ${hits[0]?.id}`)
// 1 in all, the newest is south
// #endregion

forget()

// #region close
await registry.close({ drain: 10_000 }) // aborts what has not ended after 10 s
// report/west: running
// report/west: successful
// #endregion
