import { JobRegistry, memoryStorage, type ResetOptions } from 'headgate'
import { JobsClient } from 'headgate/client'
import { createJobsHandler } from 'headgate/http'
import { expect, onTestFinished, test } from 'vitest'

/** The reset of a job in code and by a client. */
function open() {
  const registry = new JobRegistry({ storage: memoryStorage() })
  onTestFinished(() => registry.close())
  let page = 0
  registry.define({ type: 'copy', id: 'a', run: ({ progress }) => progress({ checkpoint: { page: ++page } }) })
  const handler = createJobsHandler(registry)
  const url = 'http://localhost/_siren/connector/jobs'
  const client = new JobsClient({ url, fetch: async (...call) => handler(new Request(...call)) })
  type Reset = (type: string, id: string, options: ResetOptions) => Promise<unknown>
  const resets: Reset[] = [registry.reset.bind(registry), client.reset.bind(client)]
  return { registry, resets }
}

test('a reset of a named execution sets no checkpoint after the job has run again', async () => {
  const { registry, resets } = open()
  for (const reset of resets) {
    const { executionId } = await (await registry.start('copy', 'a')).finished
    await reset('copy', 'a', { checkpoint: { page: 70 }, executionId })
    expect(await registry.status('copy', 'a')).toMatchObject({ executionId, checkpoint: { page: 70 } })
    const later = await (await registry.start('copy', 'a')).finished
    const before = await registry.status('copy', 'a')
    const message = 'The last execution of job [copy/a] is another one than the reset names. Nothing was reset.'
    const late = reset('copy', 'a', { checkpoint: { page: 71 }, executionId })
    await expect(late).rejects.toMatchObject({ code: 'already_running', message })
    expect(await registry.status('copy', 'a')).toEqual(before)
    expect(before?.executionId).toBe(later.executionId)
  }
})

test('a reset of a named execution of a job that never ran sets nothing', async () => {
  const { resets } = open()
  const executionId = `a${crypto.randomUUID()}`
  for (const reset of resets) {
    await expect(reset('copy', 'a', { executionId })).rejects.toMatchObject({ code: 'already_running' })
    await expect(reset('copy', 'a', { executionId: 'banana' })).rejects.toMatchObject({ code: 'invalid_options' })
  }
})
