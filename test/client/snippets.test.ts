import { createServer } from 'node:http'
import { JobRegistry, type JobStatus, memoryStorage } from 'headgate'
import { JobError, JobsClient } from 'headgate/client'
import { toNodeHandler } from 'headgate/http/node'
import { expect, onTestFinished, test } from 'vitest'
import { describedHandler } from '../http/described-handler.js'
import { listen } from '../http/support.js'

// What docs/reference/client.md and docs/reference/live-events.md show.

function setup() {
  const registry = new JobRegistry({ storage: memoryStorage() })
  onTestFinished(() => registry.close({ timeout: 0 }))
  const show = (...said: unknown[]) => shown.push(said)
  const shown: unknown[][] = []
  return { registry, show, shown }
}

test('a client', async () => {
  const { registry, show, shown } = setup()
  let finish = () => {}
  const run = () =>
    new Promise<void>((resolve) => {
      finish = resolve
    })
  registry.define({ type: 'report', id: 'daily', run })
  const { port } = await listen(toNodeHandler(describedHandler(registry)))
  // #region client
  const client = new JobsClient({
    url: `http://localhost:${port}/_siren/connector/jobs`,
    headers: { authorization: 'Bearer abc' },
  })

  await client.start('report', 'daily')
  await client.status('report', 'daily') // the running one, else the last
  await client.status('report', 'daily', { detail: true }) // with its log, parameters and progress
  await client.running('report')
  await client.search({ state: 'error', startTimeFrom: Date.now() - 86_400_000 })
  // #endregion
  const refused = async () => {
    // #region errors
    try {
      await client.start('report', 'daily')
    } catch (error) {
      if (!JobError.isInstance(error) || error.code !== 'already_running') throw error
      show('It runs already.')
    }
    // #endregion
  }
  await refused()
  const wait = async () => {
    // #region wait
    const final = await client.waitFor('report', 'daily', { signal: AbortSignal.timeout(60_000) })
    if (final.state === 'error') show(final.error)
    // #endregion
    return final
  }
  const final = wait()
  finish()
  expect(await final).toMatchObject({ state: 'successful' })
  const over = new AbortController()
  const { signal } = over
  const watch = async () => {
    // #region events
    for await (const { id, status } of client.events({ type: 'report', signal })) {
      show(id, status.state)
    }
    // #endregion
  }
  const watched = watch()
  await expect.poll(() => registry.start('report', 'daily').catch(() => shown.length)).toBe(2)
  over.abort()
  await expect(watched).rejects.toMatchObject({ name: 'AbortError' })
  expect(shown).toEqual([['It runs already.'], ['daily', 'running']])
})

test('a start with parameters', async () => {
  const { registry, shown } = setup()
  registry.define({ type: 'report', id: 'sales', run: ({ params }) => void shown.push([params]) })
  const { port } = await listen(toNodeHandler(describedHandler(registry)))
  const client = new JobsClient({ url: `http://localhost:${port}/_siren/connector/jobs` })
  // #region params
  await client.start('report', 'sales', { params: { customer: 'acme' } })
  // #endregion
  await client.waitFor('report', 'sales')
  expect(shown).toEqual([[{ customer: 'acme' }]])
})

test('a server that closes', async () => {
  const { registry } = setup()
  const handler = describedHandler(registry)
  const server = createServer(toNodeHandler(handler)).listen(0)
  // #region close
  server.close()
  handler.endStreams()
  await registry.close()
  // #endregion
  expect((await registry.search()).hits satisfies JobStatus[]).toEqual([])
})
