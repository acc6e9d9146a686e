import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { NextRequest } from 'next/server.js'
import { expect, onTestFinished, test } from 'vitest'
import { exampleProgram } from '../support/program.js'
import { describedFetch } from './described-handler.js'
import { sendTo } from './send.js'
import { base } from './support.js'

// What the pages of docs/reference/http show as whole servers.

const servers = [
  ['node-http.ts', base],
  ['express.ts', base],
  ['fastify.ts', base],
  ['koa.ts', base],
  ['hono.ts', '/api/jobs'],
] as const

const fileOf = (name: string) => new URL(`../../examples/${name}`, import.meta.url)

test.each(servers)('%s serves the API', async (name, base) => {
  const server = spawn(process.execPath, [await exampleProgram(name)], {
    env: { ...process.env, PORT: '0', JOBS_TOKEN: 'secret' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  onTestFinished(() => void server.kill())
  const [printed] = await once(server.stdout.setEncoding('utf8'), 'data')
  const send = sendTo(Number(/port: (\d+)/.exec(printed)?.[1]))

  const headers = { authorization: 'Bearer secret' }
  expect((await send(`${base}/report/daily/_start`, { method: 'POST', headers })).status).toBe(201)
  expect((await send(`${base}/report/daily`, { headers })).text).toContain('"count":1')
  if (name === 'express.ts') expect((await send(`${base}/report/daily`)).status).toBe(403)
})

test('next-route.ts answers the requests of Next.js', async () => {
  const { GET, POST } = await import('../../examples/next-route.js')
  const [get, post] = [describedFetch(GET, '/api/jobs'), describedFetch(POST, '/api/jobs')]
  const asked = (path: string, method: string) => new NextRequest(`http://localhost/api/jobs${path}`, { method })
  expect((await post(asked('/report/daily/_start', 'POST'))).status).toBe(201)
  expect(await (await get(asked('/report/daily', 'GET'))).json()).toMatchObject({ found: true, type: 'report' })
})

// Bun and Deno themselves run them in `.ci/run`.
test.each([
  ['bun.ts', () => import('../../examples/bun.js')],
  ['deno.ts', () => import('../../examples/deno.js')],
])('%s has what a fetch server calls', async (_, load) => {
  const { default: server } = await load()
  const response = await describedFetch(server.fetch, base)(new Request(`http://localhost${base}/report/daily`))
  expect(await response.json()).toMatchObject({ found: true, type: 'report' })
})

test.each([...servers.map(([name]) => name), 'next-route.ts', 'bun.ts', 'deno.ts'])(
  '%s is a whole server in under 15 lines',
  async (name) => {
    expect((await readFile(fileOf(name), 'utf8')).trimEnd().split('\n').length).toBeLessThan(15)
  },
)
