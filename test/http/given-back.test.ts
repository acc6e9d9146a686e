import { type IngestionJob, type JobRecord, JobRegistry, memoryStorage } from 'headgate'
import { createJobsHandler } from 'headgate/http'
import { collectingTarget, testDatasource } from 'headgate/testing'
import { expect, onTestFinished, test } from 'vitest'

const names = ['id', 'token', 'page_token']
const records: JobRecord[] = ['b1', 'b2', 'b3'].map((text) => Object.fromEntries(names.map((name) => [name, text])))

interface Answer {
  readonly status?: { readonly detail: { readonly checkpoint: unknown } }
  readonly error?: { readonly reason: string }
}

/** A job that has run, and what its HTTP answers say. */
async function setup(job: Partial<IngestionJob>, params?: Record<string, string>) {
  const registry = new JobRegistry({ storage: memoryStorage() })
  onTestFinished(() => registry.close({ timeout: 0 }))
  const handler = createJobsHandler(registry)
  const url = 'http://localhost/_siren/connector/jobs/ingestion/a'
  const call = async (path: string, method = 'GET'): Promise<Answer> => {
    const response = await handler(new Request(`${url}${path}`, { method }))
    return (await response.json()) as Answer
  }
  const target = collectingTarget()
  registry.define({ id: 'a', datasource: testDatasource(records), target, ...job } as IngestionJob)
  const run = () => registry.start('ingestion', 'a', params && { params }).then(({ finished }) => finished)
  await run()
  const reset = (checkpoint: unknown) =>
    call(`/_reset?checkpoint=${encodeURIComponent(JSON.stringify(checkpoint))}`, 'POST')
  const shown = async () => (await call('?detail=true')).status?.detail.checkpoint
  return { registry, run, reset, shown, target }
}

test.each<[string, Partial<IngestionJob>, Record<string, string>?]>([
  ['cursor.token', { cursor: 'token' }],
  ['cursor.page_token', { cursor: 'page_token' }],
  ['params.access_key', { cursor: 'id', query: 'q {{params.access_key}}' }, { access_key: 'acme' }],
])('a reset refuses the hidden %s of an answer, and the job goes on from where it was', async (field, job, params) => {
  const { reset, shown, run, target } = await setup(job, params)
  const { error } = await reset(await shown())
  expect(error?.reason).toBe(
    `Expected \`checkpoint.${field}\` to be the value itself, as an answer shows \`***\` for a secret, and \`registry.status\` in code shows it, got \`***\` (string)`,
  )
  expect(await run()).toMatchObject({ state: 'successful', count: 0 })
  expect(target.records).toHaveLength(3)
})

test('a reset takes the checkpoint of a status, which hides nothing, and an answer that hides nothing', async () => {
  const hidden = await setup({ cursor: 'token' })
  const { checkpoint } = (await hidden.registry.status('ingestion', 'a')) ?? {}
  expect(checkpoint).toEqual({ cursor: { token: 'b3' } })
  await hidden.registry.reset('ingestion', 'a', { checkpoint })
  expect(await hidden.run()).toMatchObject({ state: 'successful', count: 0 })
  const open = await setup({ cursor: 'id' })
  expect((await open.reset(await open.shown())).error).toBe(undefined)
})

test.each<[unknown, boolean]>([
  [{ url: 'postgres://ann:***@db/shop' }, false],
  [[{ text: 'token=***' }], false],
  [{ seen: ['a', '2 more are left out.'] }, false],
  [{ text: 'abc… (shortened from 20000 characters)' }, false],
  [{ title: '*** Sale ***' }, true],
  [{ title: 'two * three', text: 'the best of all' }, true],
])('the checkpoint %j of a job of your own is what it is: %s', async (checkpoint, isReal) => {
  const registry = new JobRegistry({ storage: memoryStorage() })
  onTestFinished(() => registry.close({ timeout: 0 }))
  registry.define({ type: 'copy', id: 'a', run: () => {} })
  const reset = registry.reset('copy', 'a', { checkpoint })
  if (isReal) expect(await reset).toBe(undefined)
  else await expect(reset).rejects.toThrow('the value itself, as an answer')
})
