import { Injectable, Module } from '@nestjs/common'
import { JobRegistry, memoryStorage } from 'headgate'
import { HeadgateModule, Job } from 'headgate/nestjs'
import { heldJob, recordEvents } from 'headgate/testing'
import { describe, expect, it } from 'vitest'
import { compile, start } from './support.js'

@Injectable()
class Config {
  readonly node = 'worker 7'
}

@Module({ providers: [Config, { provide: 'CLUSTER', useValue: 2 }], exports: [Config, 'CLUSTER'] })
class ConfigModule {}

describe('forRootAsync', () => {
  it('gives the factory what it injects, with its types', async () => {
    // #region async
    const module = HeadgateModule.forRootAsync({
      imports: [ConfigModule],
      inject: [Config, 'CLUSTER'],
      useFactory: async (config, cluster: number) => ({
        storage: memoryStorage(),
        node: `${config.node} of ${cluster}`,
      }),
    })
    // #endregion
    const app = await start({ imports: [module] })
    expect((await app.get(JobRegistry).health()).node).toBe('worker 7 of 2')
  })

  it('needs no dependencies', async () => {
    const app = await start({
      imports: [HeadgateModule.forRootAsync({ useFactory: () => ({ storage: memoryStorage(), node: 'a' }) })],
    })
    expect((await app.get(JobRegistry).health()).node).toBe('a')
  })

  it('fails the start with options that are not valid', async () => {
    const module = HeadgateModule.forRootAsync({ useFactory: () => ({ storage: memoryStorage(), lease: -1 }) })
    await expect(compile({ imports: [module] })).rejects.toThrow('Expected `lease` to be')
  })
})

it.each([
  [{}, 'Expected `useFactory` to be a function'],
  [{ useClass: Config }, 'got `useClass`'],
  [{ inject: Config, useFactory: () => {} }, 'Expected `inject` to be an array of injection tokens'],
])('forRootAsync refuses %o at once', (options, message) => {
  expect(() => HeadgateModule.forRootAsync(options as never)).toThrow(message)
})

describe('the settings', () => {
  it.each([
    ['name', { name: '' }, 'Expected `name` to be'],
    ['path', { api: { path: '/jobs/' } }, 'Expected `api.path` to be a path such as `jobs`'],
    ['path', { api: {} }, 'Expected `api.path` to be a path such as `jobs`'],
    [
      'basePath',
      { api: { path: 'jobs', basePath: '/jobs' } },
      'Expected `api.basePath` to be omitted, as `path` says where it is served, below the global prefix of the application, got `/jobs`',
    ],
    [
      'basePath',
      { dashboard: { path: 'jobs', basePath: '/' } },
      'Expected `dashboard.basePath` to be omitted, as `path` says',
    ],
    ['guards', { api: { path: 'jobs', guards: class {} } }, 'Expected `api.guards` to be an array of guards'],
    ['imports', { imports: ConfigModule }, 'Expected `imports` to be an array of modules'],
    ['api', { api: true }, 'Expected `api` to be an object'],
    ['close', { close: { drain: -1 } }, 'Expected `close.drain` to be'],
  ])('refuse a wrong `%s` at once', (_, settings, message) => {
    expect(() => HeadgateModule.forRoot({ storage: memoryStorage(), ...settings } as never)).toThrow(message)
  })
})

it('options of the API that are not valid fail the start', async () => {
  const module = HeadgateModule.forRoot({
    storage: memoryStorage(),
    api: { path: 'jobs', authorise: () => true } as never,
  })
  await expect(compile({ imports: [module] })).rejects.toThrow('got `authorise`')
})

describe('the shutdown', () => {
  const held = () => {
    const { job, running, finish } = heldJob({ type: 'report', id: 'long' })
    @Job({ type: 'report', id: 'long' })
    class Long {
      readonly run = job.run
    }
    return { Long, running, finish }
  }

  it('aborts what runs, as `close` of a registry does, before others close what jobs use', async () => {
    const { Long, running } = held()
    const seen: string[] = []
    class Connections {
      onApplicationShutdown() {
        seen.push('connections closed')
      }
    }
    const app = await start({
      imports: [HeadgateModule.forRoot({ storage: memoryStorage() })],
      providers: [Long, Connections],
    })
    const registry = app.get(JobRegistry)
    registry.on('status', ({ status }) => void seen.push(status.state))
    await registry.start('report', 'long')
    await running
    await app.close()
    expect(seen.at(-1)).toBe('connections closed')
    expect(seen).toContain('aborting')
    expect((await registry.health()).status).toBe('closed')
    await expect(registry.start('report', 'long')).rejects.toMatchObject({ code: 'closed' })
  })

  it('lets jobs end first, if `close` says so', async () => {
    const { Long, running, finish } = held()
    const app = await start({
      imports: [HeadgateModule.forRoot({ storage: memoryStorage(), close: { drain: true } })],
      providers: [Long],
    })
    const registry = app.get(JobRegistry)
    const events = recordEvents(registry)
    await registry.start('report', 'long')
    await running
    const closed = app.close()
    await expect.poll(() => registry.health()).toMatchObject({ status: 'closed', running: 1 })
    finish()
    await closed
    await events.waitFor('status', ({ status }) => status.state === 'successful')
  })
})
