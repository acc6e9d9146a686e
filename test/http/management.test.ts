import { JobsClient } from 'headgate/client'
import { describe, expect, test } from 'vitest'
import { iterableDatasource } from '../../src/adapters/iterable/index.js'
import type { ServedRegistry } from '../../src/http/index.js'
import { toNodeHandler } from '../../src/http/mounts/node.js'
import { memoryStorage } from '../../src/index.js'
import { collectingTarget, fakeClock } from '../../src/testing/index.js'
import { describedHandler } from './described-handler.js'
import { base, listen, newRegistry, sendTo } from './support.js'

const now = 1538730000000

/** A registry on a clock that stands, with two jobs, its API on real HTTP, and a client. */
async function served() {
  const clock = fakeClock(now)
  const registry = newRegistry({ storage: memoryStorage({ clock }), clock })
  registry.define({ type: 'report', id: 'daily', run: () => {}, datasource: 'shop', schedule: { cron: '0 3 * * *' } })
  registry.define({ type: 'report', id: 'a/b', run: () => {}, schedule: { every: 60_000 } })
  const actions: string[] = []
  const authorize = (_: unknown, action: string, { type, id }: { type?: string; id?: string }) => {
    actions.push([action, type, id].filter((part) => part !== undefined).join(' '))
    return true
  }
  const { port } = await listen(toNodeHandler(describedHandler(registry, { authorize })))
  const client = new JobsClient({ url: `http://127.0.0.1:${port}${base}` })
  return { registry, clock, actions, client, send: sendTo(port) }
}

describe('the list of jobs', () => {
  test('tells what a full refresh does, where it is allowed', async () => {
    const { registry, client } = await served()
    const datasource = iterableDatasource(() => [{ id: 1 }])
    const define = (id: string, onFullRefresh?: 'merge' | 'truncate', resume?: 'restart') => {
      const target = collectingTarget()
      const capabilities = { ...target.capabilities, ...(onFullRefresh && { onFullRefresh }) }
      registry.define({ id, datasource, target: { ...target, capabilities }, ...(resume && { resume }) })
    }
    define('appends')
    define('merges', 'merge')
    define('truncates', 'truncate')
    define('truncates-anew', 'truncate', 'restart')
    registry.define({ id: 'replaces', datasource, target: collectingTarget({ strategy: 'replace' }) })
    const listed = (await client.jobs()).map(({ id, fullRefresh }) => [id, fullRefresh])
    expect(Object.fromEntries(listed)).toEqual({
      ...{ 'a/b': undefined, daily: undefined },
      ...{
        appends: undefined,
        merges: 'merge',
        replaces: 'replace',
        truncates: 'truncate',
        'truncates-anew': undefined,
      },
    })
    for (const [id, effect] of listed) {
      const start = client.start(id === 'a/b' || id === 'daily' ? 'report' : 'ingestion', `${id}`, {
        fullRefresh: true,
      })
      if (effect) await start
      else await expect(start).rejects.toMatchObject({ code: 'invalid_options' })
    }
  })

  test('is at the base path, with and without a slash', async () => {
    const { registry, send, actions } = await served()
    await (await registry.start('report', 'daily')).finished
    await registry.pause('report', 'a/b', { reason: 'why', by: 'ann' })
    const expected = {
      hits: {
        total: 2,
        hits: [
          {
            _id: 'a/b',
            type: 'report',
            found: true,
            schedule: { every: 60_000 },
            paused: { since: now, of_all: false, reason: 'why', by: 'ann' },
          },
          {
            _id: 'daily',
            type: 'report',
            found: true,
            status: {
              version: 1,
              id: 'daily',
              is_running: false,
              start_time: now,
              end_time: now,
              infos: 'The job is done.',
              state: 'successful',
              count: 0,
            },
            datasource: 'shop',
            schedule: { cron: '0 3 * * *', time_zone: 'UTC' },
            next_run: Date.UTC(2018, 9, 6, 3),
          },
        ],
      },
    }
    for (const path of [base, `${base}/`, `${base}?pretty`]) {
      const { status, text } = await send(path)
      expect([status, JSON.parse(text)]).toEqual([200, expected])
    }
    expect(new Set(actions)).toEqual(new Set(['read']))
    expect((await send(base, { method: 'POST' })).status).toBe(405)
  })

  test('reaches a client as a registry gives it', async () => {
    const { registry, client } = await served()
    await (await registry.start('report', 'daily')).finished
    await registry.pauseAll({ reason: 'deploy' })
    const jobs = await client.jobs()
    const expected = (await registry.jobs()).map(({ status, ...job }) => {
      const { executionId: _, node: __, ...seen } = status ?? { executionId: '' }
      return { ...job, ...(status && { status: seen }) }
    })
    expect(jobs).toEqual([expected[0], { ...expected[1], schedule: { cron: '0 3 * * *', timeZone: 'UTC' } }])
    expect(jobs[0]?.paused).toEqual({ since: now, isOfAll: true, reason: 'deploy' })
  })
})

describe('a pause', () => {
  test('by hand of HTTP has the form of the protocol', async () => {
    const { send, actions } = await served()
    const post = async (path: string) => {
      const { status, text } = await send(base + path, { method: 'POST' })
      return [status, JSON.parse(text)]
    }
    const pause = { since: now, of_all: false, reason: 'why not', by: 'ann' }
    expect(await post('/report/a%2Fb/_pause?reason=why+not&by=ann')).toEqual([
      200,
      { _id: 'a/b', type: 'report', paused: pause },
    ])
    expect(await post('/report/a%2Fb/_start')).toEqual([
      409,
      {
        error: {
          type: 'paused',
          reason: 'Job [report/a/b] is paused since 2018-10-05T09:00:00.000Z by ann: why not.',
        },
        status: 409,
      },
    ])
    expect((await post('/report/a%2Fb/_start?force=true'))[0]).toBe(201)
    expect(await post('/report/a%2Fb/_unpause')).toEqual([200, { _id: 'a/b', type: 'report', was_paused: true }])
    expect(await post('/_pause')).toEqual([200, { paused: { since: now, of_all: true } }])
    expect(await post('/_unpause')).toEqual([200, { was_paused: true }])
    expect(await post('/_unpause')).toEqual([200, { was_paused: false }])
    expect((await post('/report/nobody/_pause'))[0]).toBe(404)
    expect((await post('/_pause?reason='))[0]).toBe(400)
    expect((await post('/_pause?why=a'))[0]).toBe(400)
    expect(actions.filter((action) => action.startsWith('pause'))).toEqual([
      'pause report a/b',
      'pause report a/b',
      ...Array(3).fill('pause'),
      'pause report nobody',
      ...Array(2).fill('pause'),
    ])
  })

  test('by a client is that of a registry', async () => {
    const { client } = await served()
    expect(await client.pause('report', 'daily', { reason: 'why', by: 'ann' })).toEqual({
      since: now,
      isOfAll: false,
      reason: 'why',
      by: 'ann',
    })
    await expect(client.start('report', 'daily')).rejects.toMatchObject({ code: 'paused' })
    expect((await client.start('report', 'daily', { force: true })).id).toBe('daily')
    expect(await client.unpause('report', 'daily')).toBe(true)
    expect(await client.pauseAll()).toEqual({ since: now, isOfAll: true })
    expect([await client.unpauseAll(), await client.unpauseAll()]).toEqual([true, false])
    await expect(client.pause('report', 'nobody')).rejects.toMatchObject({ code: 'not_defined' })
  })

  test('of an object that cannot pause answers 501', async () => {
    const registry = newRegistry()
    const names = ['has', 'start', 'status', 'running', 'abort', 'search', 'health', 'on'] as const
    const plain = Object.fromEntries(names.map((name) => [name, registry[name].bind(registry)]))
    const { port } = await listen(toNodeHandler(describedHandler(plain as unknown as ServedRegistry)))
    const send = sendTo(port)
    expect((await send(base)).status).toBe(501)
    const { text } = await send(`${base}/_pause`, { method: 'POST' })
    expect(JSON.parse(text).error.type).toBe('not_supported')
  })
})

test('a client refuses answers about another job, and lists that are none', async () => {
  const bodies = [
    { _id: 'b', type: 'report', paused: { since: 1, of_all: false } },
    { _id: 'a', type: 'report', paused: { since: 'now', of_all: false } },
    { _id: 'a', type: 'report', was_paused: 1 },
    { hits: { total: 1, hits: [{ _id: 'a', type: 'report', found: true, next_run: 'soon' }] } },
    { hits: { total: 1, hits: [{ _id: 'a', type: 'report', found: true, schedule: {} }] } },
  ]
  const client = new JobsClient({ url: 'http://x', fetch: async () => Response.json(bodies.shift()) })
  for (const call of [
    () => client.pause('report', 'a'),
    () => client.pause('report', 'a'),
    () => client.unpause('report', 'a'),
    () => client.jobs(),
    () => client.jobs(),
  ]) {
    await expect(call()).rejects.toMatchObject({ code: 'server' })
  }
})
