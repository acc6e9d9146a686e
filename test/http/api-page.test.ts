import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { hasRunAgain, runsAnother } from '../../src/core/base/errors.js'
import { toStatus } from '../../src/core/model/status.js'
import { abort } from '../../src/http/api/routes/abort.js'
import { health as healthRoute } from '../../src/http/api/routes/health.js'
import { pause } from '../../src/http/api/routes/pause.js'
import { reset } from '../../src/http/api/routes/reset.js'
import { search } from '../../src/http/api/routes/search.js'
import { start } from '../../src/http/api/routes/start.js'
import { status } from '../../src/http/api/routes/status.js'
import type { ServedRegistry } from '../../src/http/index.js'
import { JobError, type JobStatus, type RegistryHealth } from '../../src/index.js'
import { wireErrors } from '../../src/wire/bodies.js'
import { describedHandler } from './described-handler.js'
import { record } from './support.js'

const page = readFileSync(new URL('../../docs/reference/http-api.md', import.meta.url), 'utf8')

const examples = [
  ...page.matchAll(
    /```sh\ncurl (?:-X (\w+) )?(\S+)(?: -H '([\w-]+): (\S+)' -d '(.*)')?\n```\n\n(\d+):\n\n```json\n([\s\S]*?)\n```/g,
  ),
].map(([, method = 'GET', url = '', header, value, sent, status, body]) => ({
  method,
  path: url.replaceAll("'", '').replace('localhost:3000', ''),
  sent: { method, ...(header && { headers: { [header]: value ?? '' }, body: sent ?? '' }) },
  status: Number(status),
  body,
}))

const events = record({
  leaseUntil: 1538733935000,
  ...{ startTime: 1538731228589, count: 3459, lastId: '2289', node: 'worker-1' },
  params: { region: 'eu' },
  logTail: ['2018-10-05T09:20:28.590Z Reading from the replica.'],
  detail: { read: 3459, written: 3457, failed: 2, skipped: 0, consistency: 'statement', split: false },
})
const stopped = record({ startTime: 1538733800993, count: 2220, lastId: '2219' })

const jobs: Record<string, JobStatus> = {
  'postgres-events': toStatus(events, { lastId: '2289' }),
  'postgres-orders': toStatus({
    ...record({ id: 'postgres-orders', state: 'successful', count: 10000, lastId: '12219' }),
    ...{ startTime: 1538733893554, endTime: 1538733911829 },
  }),
  'postgres-users': toStatus({
    ...record({ id: 'postgres-users', state: 'error', startTime: 1538730949766, endTime: 1538730961293 }),
    error: [
      'Could not execute datasource query [postgres].',
      'Failed to initialize pool: The connection attempt failed.',
      'The connection attempt failed.',
      'connect timed out',
    ],
  }),
}

const logged = toStatus({
  ...record({ id: 'postgresevents', executionId: 'postgresevents11e247fa-ccb1-11e8-ad75-c293294ec513' }),
  ...{ state: 'successful', startTime: 1539192150699, endTime: 1539192151612 },
})

const health: RegistryHealth = {
  status: 'ok',
  node: 'worker-1',
  storage: { isReachable: true, latency: 2 },
  running: 1,
  queued: 0,
  lease: 30_000,
  oldestRenewal: 4012,
}

const pausedReason =
  'Job [ingestion/postgres-paused] is paused since 2018-10-05T10:06:40.000Z by ann: The source is being moved.'

const paused = { since: 1538734000000, isOfAll: false, reason: 'The source is being moved', by: 'ann' }

/** A registry in which all is as the page says. */
const registry: ServedRegistry = {
  on: () => () => {},
  has: (type, id) => (id === undefined ? ['ingestion', 'maintenance'].includes(type) : id === 'postgres-new'),
  status: async (_, id) => jobs[id],
  health: async () => health,
  running: async (type) => (type === 'ingestion' ? [toStatus({ ...events, state: 'running' })] : []),
  search: async ({ type } = {}) => (type === 'ingestion' ? { total: 1, hits: [logged] } : { total: 0, hits: [] }),
  async start(type, id, { params } = {}) {
    if (typeof params?.customer === 'number') {
      const reason = '`params.customer`: expected a string, got number.'
      throw new JobError('invalid_options', `Expected \`params\` to match the schema of the job. ${reason}`)
    }
    if (id === 'nobody') throw new JobError('not_defined', `No job [${type}/${id}] is defined.`)
    if (id === 'postgres-paused') throw new JobError('paused', pausedReason)
    if (id in jobs) throw new JobError('already_running', `Job [${type}/${id}] is already running.`)
    const status = toStatus(
      record({
        id,
        startTime: 1538734000000,
        ...(params && { params: { ...params }, node: 'worker-1', leaseUntil: 1538734030000 }),
      }),
    )
    return { type, id, executionId: status.executionId, status, finished: new Promise(() => {}) }
  },
  jobs: async () => [
    {
      ...{ type: 'ingestion', id: 'postgres-new', datasource: 'postgres', target: 'postgres', paused },
      schedule: { cron: '0 3 * * *' },
    },
  ],
  async reset(type, id, { checkpoint, executionId } = {}) {
    if (executionId !== undefined) throw hasRunAgain({ type, id }, 'reset')
    const times = { startTime: 1538734000000, endTime: 1538734001000 }
    return toStatus(record({ id, ...times, state: 'successful', node: 'worker-1' }), checkpoint)
  },
  pause: async () => paused,
  unpause: async () => true,
  pauseAll: async () => ({ since: 1538734000000, isOfAll: true }),
  async abort(type, id, { timeout, executionId } = {}) {
    if (!(id in jobs)) return undefined
    if (executionId !== undefined) throw runsAnother({ type, id })
    return toStatus(
      timeout ? { ...stopped, state: 'aborted', endTime: 1538733805318 } : { ...stopped, state: 'aborting' },
    )
  },
}

describe('docs/reference/http-api.md', () => {
  test('shows every call', () => {
    expect(examples.length).toBe(page.match(/^curl/gm)?.length)
    expect(examples.length).toBeGreaterThan(10)
  })

  test.each(examples)('$method $path answers $status', async ({ path, sent, status, body }) => {
    const answer = await describedHandler(registry)(new Request(`http://localhost${path}`, sent))
    expect([answer.status, await answer.text()]).toEqual([status, body])
  })

  test('lists every parameter, and no other', () => {
    const names = [status, start, abort, reset, pause, search, healthRoute].flatMap(({ parameters }) =>
      Object.values(parameters).map(({ name }) => name),
    )
    const tables = [...page.matchAll(/\| parameter \|.*\n.*\n((?:\|.*\n)+)/g)].flatMap(([, rows = '']) =>
      firstCells(rows),
    )
    expect(tables).toEqual(names)
  })

  test('lists every error, and no other', () => {
    const [, rows = ''] = /\| `type` \| status \|.*\n.*\n((?:\|.*\n)+)/.exec(page) ?? []
    const statuses = [...rows.matchAll(/^\| `(\w+)` \| (\d+) \|/gm)].map(([, type, status]) => [type, Number(status)])
    expect(statuses).toEqual(Object.entries(wireErrors))
  })
})

function firstCells(rows: string): (string | undefined)[] {
  return [...rows.matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name)
}
