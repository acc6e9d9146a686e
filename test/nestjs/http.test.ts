import { once } from 'node:events'
import { type CanActivate, type ExecutionContext, Inject, Injectable, Module, VersioningType } from '@nestjs/common'
import { APP_GUARD } from '@nestjs/core'
import { type JobContext, JobRegistry, memoryStorage } from 'headgate'
import { JobsClient } from 'headgate/client'
import { type ApiMountOptions, HeadgateModule, Job } from 'headgate/nestjs'
import { heldJob } from 'headgate/testing'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { listen, platforms, silent } from './support.js'

@Injectable()
class Reports {
  @Job({ type: 'report', id: 'daily' })
  daily({ progress, params }: JobContext<unknown, object, { count?: number }>): void {
    progress({ count: params.count ?? 1 })
  }
}

/** Settings of an application with a job and the API at `jobs`. */
function withApi(api: Partial<ApiMountOptions> = {}, registry = {}) {
  const module = HeadgateModule.forRoot({ storage: memoryStorage(), ...registry, api: { path: 'jobs', ...api } })
  return { imports: [module], providers: [Reports] }
}

@Injectable()
class Tokens {
  readonly known = 'secret'
}

@Module({ providers: [Tokens], exports: [Tokens] })
class TokensModule {}

// #region guard
class TokenGuard implements CanActivate {
  @Inject(Tokens) readonly tokens!: Tokens
  canActivate(context: ExecutionContext): boolean {
    return context.switchToHttp().getRequest().headers.authorization === `Bearer ${this.tokens.known}`
  }
}
// #endregion

describe.each(platforms)('the API in Nest over %s', (_, open) => {
  it('is below the global prefix', async () => {
    const { url } = await listen(withApi(), open(), { prefix: 'api/v1' })
    const client = new JobsClient({ url: `${url}/api/v1/jobs` })
    await client.start('report', 'daily', { params: { count: 3 } })
    await expect.poll(() => client.status('report', 'daily')).toMatchObject({ state: 'successful', count: 3 })
    expect(await client.search({ type: 'report' })).toMatchObject({ total: 1 })
    for (const path of ['/jobs/report/daily', '/api/v1/elsewhere', '/api/v1/jobsx']) {
      expect((await fetch(url + path)).status, path).toBe(404)
    }
  })

  it('is at its path without a prefix, and tells it in its description', async () => {
    const { url } = await listen(withApi({ path: 'admin/jobs' }), open())
    const description = await (await fetch(`${url}/admin/jobs/_openapi`)).json()
    expect(description).toMatchObject({ servers: [{ url: '/admin/jobs' }] })
    expect((await fetch(`${url}/admin/jobs`)).status).toBe(200)
  })

  it('has no version', async () => {
    const { url } = await listen(withApi(), open(), {
      prefix: 'api',
      prepare: (app) => app.enableVersioning({ type: VersioningType.URI, defaultVersion: '2' }),
    })
    expect((await fetch(`${url}/api/jobs`)).status).toBe(200)
  })

  it('takes ids that are long or have slashes', async () => {
    const ids = ['a/b?c', 'i'.repeat(512)]
    const { app, url } = await listen(withApi(), open(), { prefix: 'api' })
    for (const id of ids) app.get(JobRegistry).define({ type: 'test', id, run: () => {} })
    const client = new JobsClient({ url: `${url}/api/jobs` })
    for (const id of ids) expect(await client.start('test', id)).toMatchObject({ id })
  })

  it('limits a body that a parser of Nest has read', async () => {
    const { url } = await listen(withApi(), open())
    const headers = { 'content-type': 'application/json' }
    const send = (length: number) => {
      const body = new Blob([JSON.stringify({ params: { text: 'x'.repeat(length) } })])
      // In chunks: a `content-length` would tell the size.
      const chunks = { body: body.stream(), duplex: 'half' } as RequestInit
      return fetch(`${url}/jobs/report/daily/_start`, { method: 'POST', headers, ...chunks })
    }
    expect((await send(70_000)).status).toBe(413)
    expect((await send(1000)).status).toBe(201)
  })

  it('runs the guards of the module first, with what they inject', async () => {
    const authorize = vi.fn(() => true)
    // #region guards
    const module = HeadgateModule.forRoot({
      storage: memoryStorage(),
      imports: [TokensModule],
      api: { path: 'jobs', guards: [TokenGuard], authorize },
    })
    // #endregion
    const { url } = await listen({ imports: [module], providers: [Reports] }, open())
    expect((await fetch(`${url}/jobs/report/daily/_start`, { method: 'POST' })).status).toBe(403)
    expect(authorize).not.toHaveBeenCalled()
    const headers = { authorization: 'Bearer secret' }
    expect((await fetch(`${url}/jobs/report/daily/_start`, { method: 'POST', headers })).status).toBe(201)
    expect(authorize).toHaveBeenCalledTimes(1)
  })

  it('runs the guards of the application', async () => {
    const providers = [Reports, { provide: APP_GUARD, useValue: { canActivate: () => false } }]
    const { url } = await listen({ ...withApi(), providers }, open())
    expect((await fetch(`${url}/jobs`)).status).toBe(403)
  })

  it('gives `authorize` the request of the server', async () => {
    const ips: unknown[] = []
    const authorize: ApiMountOptions['authorize'] = ({ native }) => ips.push((native as { ip: string }).ip) > 1
    const { url } = await listen(withApi({ authorize }), open())
    expect((await fetch(`${url}/jobs`)).status).toBe(403)
    expect((await fetch(`${url}/jobs`)).status).toBe(200)
    expect(ips).toEqual(['127.0.0.1', '127.0.0.1'])
  })

  it("logs a call that fails to Nest's logger", async () => {
    const logged = vi.spyOn(silent, 'error')
    onTestFinished(() => logged.mockRestore())
    const authorize = () => {
      throw new Error('There is no session.')
    }
    const { url } = await listen(withApi({ authorize }), open())
    expect((await fetch(`${url}/jobs`)).status).toBe(500)
    const entry = [
      expect.any(String),
      expect.objectContaining({ error: ['There is no session.'], url: '/jobs' }),
      'Headgate',
    ]
    expect(logged.mock.calls).toEqual([entry])
  })

  it('keeps the CORS headers of the application', async () => {
    const { url } = await listen(withApi(), open(), {
      prepare: (app) => app.enableCors({ origin: 'https://a.example' }),
    })
    const { headers } = await fetch(`${url}/jobs`)
    expect(headers.get('access-control-allow-origin')).toBe('https://a.example')
  })

  it('ends streams of events when the application closes', async () => {
    const { app, url } = await listen(withApi(), open(), { prefix: 'api' })
    const response = await fetch(`${url}/api/jobs/_events`)
    expect(response.headers.get('content-type')).toContain('text/event-stream')
    const ended = response.text()
    await app.close()
    expect(await ended).toContain('id: ')
  })

  it('answers a call that waits for a job, which the shutdown ends', async () => {
    const { app, url } = await listen(withApi(), open())
    const registry = app.get(JobRegistry)
    const { job, running, finish } = heldJob({ type: 'test', id: 'long' }, { ignoresSignal: true })
    registry.define(job)
    await registry.start('test', 'long')
    const { signal } = await running
    const answer = fetch(`${url}/jobs/test/long/_abort?timeout=1m`, { method: 'POST' })
    await once(signal, 'abort')
    const closed = app.close()
    finish()
    expect((await answer).status).toBe(200)
    await closed
  })

  it('serves the dashboard, whose page finds its files and its API', async () => {
    const module = HeadgateModule.forRoot({
      storage: memoryStorage(),
      imports: [TokensModule],
      dashboard: { path: 'ops/jobs', guards: [TokenGuard], title: 'Shop', readOnly: true },
    })
    const { url } = await listen({ imports: [module], providers: [Reports] }, open(), { prefix: 'api' })
    const headers = { authorization: 'Bearer secret' }
    const page = `${url}/api/ops/jobs/`
    for (const path of ['', 'api/report/daily']) expect((await fetch(page + path)).status).toBe(403)

    const response = await fetch(page.slice(0, -1), { headers })
    const html = await response.text()
    expect([response.status, response.url]).toEqual([200, page])
    expect(html).toContain('Shop')
    const files = [...html.matchAll(/(?:src|href)="(?!data:)([^"#]+)"/g)].map(([, file = '']) => new URL(file, page))
    expect(files).not.toEqual([])
    for (const file of files) expect((await fetch(file, { headers })).status, file.href).toBe(200)

    expect((await fetch(`${page}api/report`, { headers })).status).toBe(200)
    expect((await fetch(`${page}api/report/daily/_start`, { method: 'POST', headers })).status).toBe(403)
  })

  it('serves several registries', async () => {
    const second = HeadgateModule.forRoot({ name: 'b', storage: memoryStorage(), node: 'second', api: { path: 'b' } })
    const first = withApi({ path: 'a' }, { node: 'first' })
    const { url } = await listen({ ...first, imports: [...first.imports, second] }, open())
    const healthOf = async (path: string) => (await fetch(`${url}/${path}/_health`)).json()
    expect([await healthOf('a'), await healthOf('b')]).toMatchObject([{ node: 'first' }, { node: 'second' }])
  })
})
