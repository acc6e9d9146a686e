import { Controller, Get, Inject } from '@nestjs/common'
import { HealthCheckService, TerminusModule } from '@nestjs/terminus'
import { JobRegistry, memoryStorage } from 'headgate'
import { HeadgateHealthIndicator, HeadgateModule } from 'headgate/nestjs'
import { describe, expect, it } from 'vitest'
import { listen, platforms, start } from './support.js'

// #region terminus
@Controller('health')
class HealthController {
  @Inject(HealthCheckService) readonly health!: HealthCheckService
  @Inject(HeadgateHealthIndicator) readonly jobs!: HeadgateHealthIndicator

  @Get()
  check() {
    return this.health.check([() => this.jobs.isHealthy('jobs')])
  }
}
// #endregion

/** Storage whose every call fails once it is broken. */
function breakable() {
  const storage = memoryStorage()
  let isBroken = false
  const proxy = new Proxy(storage, {
    get(target, name) {
      const value = Reflect.get(target, name)
      if (typeof value !== 'function' || name === 'close')
        return typeof value === 'function' ? value.bind(target) : value
      return isBroken ? () => Promise.reject(new Error('password=hunter2 is wrong')) : value.bind(target)
    },
  })
  return { storage: proxy, break: () => (isBroken = true) }
}

describe.each(platforms)('the health in Nest over %s', (_, open) => {
  it('is up, and down when the storage is away, without its error', async () => {
    const { storage, break: breakStorage } = breakable()
    const imports = [TerminusModule.forRoot({ logger: false }), HeadgateModule.forRoot({ storage, node: 'a' })]
    const { url } = await listen({ imports, controllers: [HealthController] }, open(), { prefix: 'api' })
    const up = await fetch(`${url}/health`)
    expect([up.status, await up.json()]).toMatchObject([
      200,
      { status: 'ok', info: { jobs: { status: 'up', node: 'a', running: 0, queued: 0 } } },
    ])
    breakStorage()
    const down = await fetch(`${url}/health`)
    const text = await down.text()
    expect(down.status).toBe(503)
    expect(JSON.parse(text).error.jobs).toMatchObject({ status: 'down', reason: 'unreachable' })
    expect(text).not.toContain('hunter2')
  })
})

it('is of the registry that is named, and needs no terminus', async () => {
  const open = (name?: string) =>
    HeadgateModule.forRoot({ storage: memoryStorage(), ...(name && { name }), node: name ?? 'none' })
  const app = await start({ imports: [open(), open('reports')] })
  const indicator = app.get(HeadgateHealthIndicator)
  expect(await indicator.isHealthy()).toMatchObject({ headgate: { status: 'up', node: 'none' } })
  expect(await indicator.isHealthy('jobs', { registry: 'reports', timeout: 50 })).toMatchObject({
    jobs: { status: 'up', node: 'reports' },
  })
  await expect(indicator.isHealthy('jobs', { registry: 'other' })).rejects.toThrow()
  await app.get(JobRegistry).close()
  expect(await indicator.isHealthy()).toMatchObject({ headgate: { status: 'down', reason: 'closed' } })
})
