import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { expect, onTestFinished, test } from 'vitest'
import { base, sendTo } from './support.js'

const example = new URL('../../examples/express.ts', import.meta.url)

test('the Express example serves the API', async () => {
  const server = spawn(process.execPath, ['--import', 'tsx', example.pathname], {
    env: { ...process.env, PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  onTestFinished(() => void server.kill())
  const [printed] = await once(server.stdout.setEncoding('utf8'), 'data')
  const send = sendTo(Number(/port: (\d+)/.exec(printed)?.[1]))

  expect((await send(`${base}/report/daily/_start`, { method: 'POST' })).status).toBe(201)
  expect((await send(`${base}/report/daily`)).text).toContain('"count":1')
})

test('the Express example is a whole server in under 15 lines', async () => {
  expect((await readFile(example, 'utf8')).trimEnd().split('\n').length).toBeLessThan(15)
})
