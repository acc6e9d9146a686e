import { describe, expect, test } from 'vitest'
import { toNodeHandler } from '../../src/http/mounts/node.js'
import { fakeClock, recordEvents } from '../../src/testing/index.js'
import { describedHandler } from './described-handler.js'
import { base, defineHeld, fixedStorage, listen, newPlainRegistry, newRegistry, record, sendTo } from './support.js'

const path = `${base}/ingestion/postgres-events`

/** A registry on a clock that stands at `start`, its API on real HTTP, and one job that stands until it is let go. */
async function served(start: number) {
  const clock = fakeClock(start)
  const registry = newPlainRegistry(clock)
  const events = recordEvents(registry)
  const job = defineHeld(registry, 'ingestion', 'postgres-events')
  const { port } = await listen(toNodeHandler(describedHandler(registry)))
  return { clock, registry, events, job, send: sendTo(port) }
}

/** What is said of an execution in TypeScript alone. */
const detail = { read: 3, written: 2, failed: 1, skipped: 0 }

describe('the examples of the reference, byte for byte on real HTTP', () => {
  test('running', async () => {
    const { registry, events, job, send } = await served(1538731228589)
    await registry.start('ingestion', 'postgres-events')
    const { progress } = await job.running
    progress({ count: 3459, lastId: 2289, detail })
    await events.waitFor('progress')

    const { status, text } = await send(path)

    expect(status).toBe(200)
    expect(text).toBe(
      '{"_id":"postgres-events","type":"ingestion","found":true,' +
        '"status":{"version":1,"id":"postgres-events","is_running":true,"start_time":1538731228589,' +
        '"infos":"The job is running.","state":"running","count":3459,"last_id":"2289"}}',
    )
  })

  test('completed', async () => {
    const { clock, registry, job, send } = await served(1538733893554)
    const execution = await registry.start('ingestion', 'postgres-events')
    const { progress } = await job.running
    await clock.advance(1538733911829 - 1538733893554)
    progress({ count: 10000, lastId: '12219', detail })
    job.end()
    await execution.finished

    const { status, text } = await send(path)

    expect(status).toBe(200)
    expect(text).toBe(
      '{"_id":"postgres-events","type":"ingestion","found":true,' +
        '"status":{"version":1,"id":"postgres-events","is_running":false,"start_time":1538733893554,"end_time":1538733911829,' +
        '"infos":"The job is done.","state":"successful","count":10000,"last_id":"12219"}}',
    )
  })

  test('failed', async () => {
    const { clock, registry, job, send } = await served(1538730949766)
    const execution = await registry.start('ingestion', 'postgres-events')
    await job.running
    await clock.advance(1538730961293 - 1538730949766)
    job.end(
      chain(
        'Could not execute datasource query [postgres].',
        'Failed to initialize pool: The connection attempt failed.',
        'The connection attempt failed.',
        'connect timed out',
      ),
    )
    await execution.finished

    const { status, text } = await send(path)

    expect(status).toBe(200)
    expect(text).toBe(
      '{"_id":"postgres-events","type":"ingestion","found":true,' +
        '"status":{"version":1,"id":"postgres-events","is_running":false,"start_time":1538730949766,"end_time":1538730961293,' +
        '"infos":"The job has failed.",' +
        '"error":["Could not execute datasource query [postgres].",' +
        '"Failed to initialize pool: The connection attempt failed.",' +
        '"The connection attempt failed.","connect timed out"],' +
        '"state":"error","count":0}}',
    )
  })

  test('the answer of _abort', async () => {
    const { clock, registry, job, send } = await served(1538733800993)
    await registry.start('ingestion', 'postgres-events')
    const { progress } = await job.running
    await clock.advance(1538733805318 - 1538733800993)
    progress({ count: 2220, lastId: '2219' })

    const { status, text } = await send(`${path}/_abort`, { method: 'POST' })

    expect(status).toBe(200)
    expect(text).toBe(
      '{"_id":"postgres-events","type":"ingestion","found":true,' +
        '"status":{"version":1,"id":"postgres-events","is_running":false,"is_aborting":true,' +
        '"start_time":1538733800993,"end_time":1538733805318,' +
        '"infos":"The job has been aborted.","state":"aborted","count":2220,"last_id":"2219"}}',
    )
  })

  test('search', async () => {
    const storage = fixedStorage(
      record({
        id: 'postgresevents',
        executionId: 'postgresevents11e247fa-ccb1-11e8-ad75-c293294ec513',
        state: 'successful',
        startTime: 1539192150699,
        endTime: 1539192151612,
      }),
      record({ id: 'postgresevents', state: 'successful', startTime: 1539192173233, endTime: 1539192173234 }),
    )
    const { port } = await listen(toNodeHandler(describedHandler(newRegistry({ storage }))))

    const query = 'type=ingestion&id=postgresevents&start_time_to=1539192173232'
    const { status, text } = await sendTo(port)(`${base}/_search?${query}`)

    expect(status).toBe(200)
    expect(text).toBe(
      '{"hits":{"total":1,"hits":[' +
        '{"_id":"postgresevents11e247fa-ccb1-11e8-ad75-c293294ec513",' +
        '"_source":{"ingestion":{"version":1,"id":"postgresevents","is_running":false,"start_time":1539192150699,' +
        '"end_time":1539192151612,"infos":"The job is done.","state":"successful","count":0}}}]}}',
    )
  })

  test('the _id of a log entry is the job id followed directly by a UUID', async () => {
    const { registry, job, send } = await served(1539192150699)
    const execution = await registry.start('ingestion', 'postgres-events')
    const { progress } = await job.running
    progress({ detail })
    job.end()
    await execution.finished

    const { text } = await send(`${base}/_search`)
    const { hits } = JSON.parse(text)

    expect(text).not.toContain('detail')
    expect(hits.hits[0]._id).toMatch(/^postgres-events[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/)
    expect(Object.keys(hits.hits[0]._source)).toEqual(['ingestion'])
  })
})

function chain(...messages: string[]): Error | undefined {
  return messages.reduceRight<Error | undefined>((cause, message) => new Error(message, { cause }), undefined)
}
