import { type Job, JobRegistry, memoryStorage } from 'headgate'
import { JobsClient } from 'headgate/client'
import { createJobsHandler } from 'headgate/http'
import { fakeClock, heldJob } from 'headgate/testing'
import { describe, expect, onTestFinished, test, vi } from 'vitest'

/** A registry with a job that runs until it is aborted. */
function open(more: Partial<Job> = {}, concurrency = 1) {
  const clock = fakeClock()
  const storage = memoryStorage({ clock })
  const logger = { debug: vi.fn(), info: vi.fn(), warn: vi.fn(), error: vi.fn() }
  const registry = new JobRegistry({ storage, clock, logger, concurrency })
  onTestFinished(() => registry.close())
  for (const id of ['a', 'b']) registry.define({ ...heldJob({ type: 'test', id }).job, ...more })
  const lines = () => logger.info.mock.calls.map(([, message]) => message)
  return { clock, storage, registry, lines }
}

const reason = 'replaced by the new import (ann)'

test('an abort keeps its reason in the status and in the log', async () => {
  const { registry, lines } = open()
  await registry.start('test', 'a')
  const status = await registry.abort('test', 'a', { reason })
  expect(status).toMatchObject({ state: 'aborted', abortReason: reason })
  expect(await registry.status('test', 'a')).toEqual(status)
  expect(lines()).toContain(`Job [test/a] is aborting: ${reason}`)
  expect(lines()).toContain(`Job [test/a] was aborted: ${reason}`)
})

test('the first abort decides on the reason, and one without a reason has none', async () => {
  const { registry } = open()
  await registry.start('test', 'a')
  const first = registry.abort('test', 'a', { reason })
  const second = registry.abort('test', 'a', { reason: 'another' })
  expect([await first, await second]).toMatchObject([{ abortReason: reason }, { abortReason: reason }])
  await registry.start('test', 'a')
  expect(await registry.abort('test', 'a')).not.toHaveProperty('abortReason')
})

test('a queued job keeps the reason too', async () => {
  const { registry } = open()
  await registry.start('test', 'a')
  const { finished } = await registry.start('test', 'b')
  await registry.abort('test', 'b', { reason })
  expect(await finished).toMatchObject({ state: 'aborted', abortReason: reason })
})

test.each(['manual', 'auto'] as const)('a stop by close() is told apart, with resume: %s', async (resume) => {
  const { registry, lines } = open({ resume })
  const { finished } = await registry.start('test', 'a')
  await registry.close()
  expect(await finished).toMatchObject({ state: 'aborted', abortReason: 'The registry was closed.' })
  expect(lines()).toContain('Job [test/a] was aborted: The registry was closed.')
})

test('a close after an abort does not change the reason', async () => {
  const { registry } = open()
  const { finished } = await registry.start('test', 'a')
  void registry.abort('test', 'a')
  await registry.close()
  expect(await finished).not.toHaveProperty('abortReason')
})

describe('an abort of an execution by its id', () => {
  test('aborts that one, also while it is queued', async () => {
    const { registry } = open()
    for (const id of ['a', 'b']) await registry.start('test', id)
    for (const id of ['b', 'a']) {
      const executionId = (await registry.status('test', id))?.executionId as string
      expect(await registry.abort('test', id, { executionId })).toMatchObject({ state: 'aborted', executionId })
    }
  })

  test('leaves a later one alone, and says so', async () => {
    const { registry } = open()
    const first = await registry.start('test', 'a')
    await registry.abort('test', 'a')
    const { executionId } = first
    expect(await registry.abort('test', 'a', { executionId })).toMatchObject({ state: 'aborted', executionId })
    const second = await registry.start('test', 'a')
    const refusal = 'Job [test/a] runs another execution than the one to abort. Nothing was aborted.'
    const abort = registry.abort('test', 'a', { executionId, reason })
    await expect(abort).rejects.toMatchObject({ code: 'already_running', message: refusal })
    expect(second.status.state).toBe('running')
    expect(await registry.abort('test', 'a', { executionId: second.executionId })).not.toHaveProperty('abortReason')
  })

  test('answers with no other execution after the job has ended', async () => {
    const { registry } = open()
    const { executionId } = await registry.start('test', 'a')
    await registry.abort('test', 'a')
    const last = await registry.start('test', 'a')
    const ended = await registry.abort('test', 'a')
    const message = 'The last execution of job [test/a] is another one than the abort names. Nothing was aborted.'
    const abort = registry.abort('test', 'a', { executionId })
    await expect(abort).rejects.toMatchObject({ code: 'already_running', message })
    expect(await registry.abort('test', 'a', { executionId: last.executionId })).toEqual(ended)
    const handler = createJobsHandler(registry, { basePath: '/jobs' })
    const url = `http://localhost/jobs/test/a/_abort?execution_id=${executionId}`
    expect(await handler(new Request(url, { method: 'POST' }))).toMatchObject({ status: 409 })
  })

  test('leaves a start alone that has no execution yet', async () => {
    const { registry, storage } = open()
    const first = await registry.start('test', 'a')
    await registry.abort('test', 'a')
    const { begin } = storage
    let release = () => {}
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    storage.begin = (request) => held.then(() => begin.call(storage, request))
    const started = registry.start('test', 'a')
    const abort = registry.abort('test', 'a', { executionId: first.executionId, timeout: 0 })
    release()
    const { status } = await started
    await abort.catch(() => undefined)
    expect(status.state).toBe('running')
  })

  test('needs the id of an execution of the job', async () => {
    const { registry } = open()
    const { executionId } = await registry.start('test', 'b')
    const abort = (given: string) => registry.abort('test', 'a', { executionId: given })
    await expect(abort('a')).rejects.toThrow('Expected `executionId` to be the id of an execution')
    await expect(abort(executionId)).rejects.toThrow('the id of an execution of the job, a and a UUID, got `b')
  })

  test('by HTTP and by a client', async () => {
    const { registry } = open()
    const handler = createJobsHandler(registry, { basePath: '/jobs' })
    const client = new JobsClient({ url: 'http://localhost/jobs', fetch: (...call) => handler(new Request(...call)) })
    const { executionId } = await registry.start('test', 'a')
    expect(await client.abort('test', 'a', { executionId })).toMatchObject({ state: 'aborted' })
    const { executionId: another } = await registry.start('test', 'a')
    const url = `http://localhost/jobs/test/a/_abort?execution_id=${executionId}`
    const answer = await handler(new Request(url, { method: 'POST' }))
    expect([answer.status, await answer.json()]).toMatchObject([409, { error: { type: 'already_running' } }])
    await expect(client.abort('test', 'a', { executionId })).rejects.toMatchObject({ code: 'already_running' })
    expect(await registry.status('test', 'a')).toMatchObject({ state: 'running', executionId: another })
    await expect(client.abort('test', 'a', { executionId: another.slice(1) })).rejects.toMatchObject({
      code: 'invalid_options',
    })
  })
})

test('a registry that closes leaves the execution alone that another one runs of its job', async () => {
  const { registry, storage } = open()
  await registry.start('test', 'a')
  const asked = vi.spyOn(storage, 'requestAbort')
  const executionId = (await registry.status('test', 'a'))?.executionId
  await registry.close()
  expect(asked.mock.calls).toMatchObject([[{ executionId }]])
})

test.each(['', 'x'.repeat(1001), 'a\0b', '\ud800'])('refuses a reason that storage cannot keep', async (reason) => {
  const { registry } = open()
  await expect(registry.abort('test', 'a', { reason })).rejects.toThrow('Expected `reason` to be a string of 1 to 1000')
})

test('an abort over HTTP has a reason, which the body of the protocol does not show', async () => {
  const { registry } = open()
  const handler = createJobsHandler(registry, { basePath: '/jobs' })
  await registry.start('test', 'a')
  const url = `http://localhost/jobs/test/a/_abort?reason=${encodeURIComponent(reason)}`
  const answer = await handler(new Request(url, { method: 'POST' }))
  expect(await answer.text()).not.toContain(reason)
  expect(await registry.status('test', 'a')).toMatchObject({ state: 'aborted', abortReason: reason })
})
