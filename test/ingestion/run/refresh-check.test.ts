import { JobError, JobRegistry, memoryStorage, type Target } from 'headgate'
import { collectingTarget, fakeClock, testDatasource } from 'headgate/testing'
import { expect, onTestFinished, test } from 'vitest'
import { describedHandler } from '../../http/described-handler.js'

/** A registry with a job whose target is asked about full refreshes. */
function setup(checkFullRefresh: NonNullable<Target['checkFullRefresh']>) {
  const clock = fakeClock()
  const storage = memoryStorage({ clock })
  const target = { ...collectingTarget(), capabilities: { onFullRefresh: 'merge' } as const, checkFullRefresh }
  const open = () => {
    const registry = new JobRegistry({ storage, clock })
    onTestFinished(() => registry.close({ timeout: 0 }))
    registry.define({ id: 'job', datasource: testDatasource([{ id: 1 }]), target })
    return registry
  }
  const registry = open()
  const handler = describedHandler(registry)
  const post = async (path: string) => {
    const answer = await handler(
      new Request(`http://localhost/_siren/connector/jobs/ingestion/job/${path}`, { method: 'POST' }),
    )
    return [answer.status, ((await answer.json()) as { error: object }).error]
  }
  const start = () => registry.start('ingestion', 'job', { fullRefresh: true })
  return { clock, storage, registry, open, post, start, stored: () => storage.find('ingestion', 'job') }
}

test('what the target refuses is the answer, and nothing is stored', async () => {
  const message = 'A full refresh is not possible. It is a view.'
  const { start, stored, post } = setup(async () => {
    throw new JobError('invalid_options', message)
  })
  await expect(start()).rejects.toMatchObject({ code: 'invalid_options', message })
  expect(await post('_start?full_refresh=true')).toEqual([400, { type: 'invalid_request', reason: message }])
  expect(await stored()).toBeUndefined()
})

test('a target that cannot be asked fails the start with the reason as its cause', async () => {
  const { start, stored, post } = setup(async () => {
    throw new Error('connect ECONNREFUSED')
  })
  await expect(start()).rejects.toMatchObject({
    code: 'target',
    message: expect.stringMatching(/could not be asked whether it can do a full refresh\. Nothing was started\.$/),
    cause: { message: 'connect ECONNREFUSED' },
  })
  expect(await post('_start?full_refresh=true')).toEqual([503, { type: 'target', reason: expect.any(String) }])
  expect(await stored()).toBeUndefined()
})

test('a target that does not answer fails the start after 10 seconds, and is told to stop', async () => {
  let signal: AbortSignal | undefined
  const { clock, start, stored } = setup((given) => {
    signal = given
    return new Promise(() => {})
  })
  const started = expect(start()).rejects.toMatchObject({ code: 'target', isTransient: true })
  await expect.poll(() => signal).toBeDefined()
  await clock.advance(9_999)
  expect(signal?.aborted).toBe(false)
  await clock.advance(1)
  await started
  expect(signal?.aborted).toBe(true)
  expect(await stored()).toBeUndefined()
})

test('a live job is refused before its target is asked, also one of another registry', async () => {
  let isAsked = false
  const { open, start } = setup(async () => {
    isAsked = true
  })
  const other = open()
  const { finished } = await other.start('ingestion', 'job')
  await expect(start()).rejects.toMatchObject({ code: 'already_running' })
  expect(isAsked).toBe(false)
  await finished
})

test.each(['abort', 'close'] as const)(
  'an abort or a close (%s) while the target is asked ends the start',
  async (what) => {
    let isAsked = false
    const { registry, start, stored, post } = setup(() => {
      isAsked = true
      return new Promise(() => {})
    })
    const code = what === 'abort' ? 'aborted' : 'closed'
    const started = expect(start()).rejects.toMatchObject({ code })
    const posted = post('_start?full_refresh=true')
    await expect.poll(() => isAsked).toBe(true)
    await (what === 'abort' ? registry.abort('ingestion', 'job') : registry.close())
    await started
    expect(await posted).toEqual([what === 'abort' ? 409 : 503, expect.objectContaining({ type: code })])
    expect(await stored()).toBeUndefined()
  },
)

test('a paused job says that it is paused, before its target is asked', async () => {
  const message = 'A full refresh is not possible. It is a view.'
  const { registry, open, start, post } = setup(async () => {
    throw new JobError('invalid_options', message)
  })
  await registry.pause('ingestion', 'job')
  await expect(start()).rejects.toMatchObject({ code: 'paused' })
  expect((await post('_start?full_refresh=true'))[0]).toBe(409)
  // A process that has not read the pauses yet.
  await expect(open().start('ingestion', 'job', { fullRefresh: true })).rejects.toMatchObject({ code: 'paused' })
  const forced = registry.start('ingestion', 'job', { fullRefresh: true, force: true })
  await expect(forced).rejects.toMatchObject({ code: 'invalid_options', message })
})
