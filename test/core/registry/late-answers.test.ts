import {
  type Dispatcher,
  type IngestionJob,
  JobRegistry,
  localDispatcher,
  memoryStorage,
  type RegistryOptions,
} from 'headgate'
import { iterableDatasource } from 'headgate/iterable'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { redactorOf } from '../../../src/core/redaction/index.js'

/** A promise that rejects in place of an answer. One that nobody handles fails the test. */
const rejects = async (): Promise<never> => {
  throw new Error('away')
}
const fails = () => {
  throw new Error('down')
}
const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

function open(options: Partial<RegistryOptions> = {}) {
  const logger = { debug: vi.fn(), info: vi.fn(), warn: vi.fn(), error: vi.fn() }
  const registry = new JobRegistry({ storage: memoryStorage(), logger, ...options })
  onTestFinished(() => registry.close())
  return { registry, logger }
}

/** How a job ended, and what was logged. */
async function end(job: object): Promise<{ status: unknown; warnings: string }> {
  const { registry, logger } = open()
  const datasource = iterableDatasource([{ id: 1 }])
  registry.define({ id: 'a', datasource, target: () => {}, ...job } as IngestionJob)
  const status = await (await registry.start('ingestion', 'a')).finished
  await turn()
  return { status, warnings: JSON.stringify(logger.warn.mock.calls) }
}

function dispatcherWith(methods: object): Dispatcher {
  const inner = localDispatcher()
  const bound = Object.fromEntries(
    (['work', 'add', 'remove', 'move', 'waiting', 'tryAcquire'] as const).map((name) => [
      name,
      inner[name]?.bind(inner as never),
    ]),
  )
  return { isShared: false, ...bound, ...methods } as unknown as Dispatcher
}

describe('a function that must answer at once and gives a promise that rejects', () => {
  const target = { kind: 'odd', strategy: 'append', open: () => ({ write() {}, async abort() {} }) }
  const datasource = { kind: 'odd', async *read() {} }

  test.each<[string, object, string]>([
    ['read', { datasource: { ...datasource, read: rejects } }, 'read() of the datasource to return an async iterable'],
    ['needs of a datasource', { datasource: { ...datasource, needs: rejects } }, 'needs() of the datasource'],
    ['needs of a target', { target: { ...target, needs: rejects } }, 'needs() of the target to return an array'],
    ['iterableDatasource', { datasource: iterableDatasource(rejects) }, 'away'],
  ])('fails the job: %s', async (_, job, message) => {
    const { status } = await end(job)
    expect(status).toMatchObject({ state: 'error' })
    expect(JSON.stringify(status)).toContain(message)
  })

  test('does not retry, and is logged: isTransient', async () => {
    const { status, warnings } = await end({ target: fails, retry: { limit: 1, delay: 1, isTransient: rejects } })
    expect(JSON.stringify(status)).toContain('down')
    expect(warnings).toContain('Expected `retry.isTransient` to return true or false, got a promise')
  })

  test.each<[string, Partial<RegistryOptions>, string]>([
    ['redact', { redact: rejects as never }, 'Expected `redact` to be a function that gives text at once'],
    ['clock.now', { clock: { now: rejects as never, setTimer: vi.fn() } }, 'Expected `clock` to be an object with'],
    ['work', { dispatcher: dispatcherWith({ work: rejects }) }, 'Expected work() of the dispatcher to return nothing'],
  ])('is refused by the registry: %s', async (_, options, message) => {
    expect(() => open(options)).toThrow(message)
    await turn()
  })

  test('masks the text: a redactor', async () => {
    expect(redactorOf(rejects as never).redact('text')).toBe('***')
    await turn()
  })

  test('is refused by define: set of a schedule engine', async () => {
    const { registry } = open({ dispatcher: dispatcherWith({ schedules: { set: rejects } }) })
    expect(() => registry.define({ type: 't', id: 'a', run: () => {} })).toThrow('schedules.set() of the dispatcher')
    await turn()
  })

  test.each<[string, unknown]>([
    ['a promise', rejects],
    ['a slot without release', () => 5],
  ])('fails the start: tryAcquire that gives %s', async (_, tryAcquire) => {
    const { registry } = open({ dispatcher: dispatcherWith({ tryAcquire }) })
    registry.define({ type: 't', id: 'a', run: () => {} })
    const message = expect.stringContaining('tryAcquire() of the dispatcher to return an object')
    await expect(registry.start('t', 'a')).rejects.toMatchObject({ code: 'dispatcher', message })
    await turn()
  })

  test('is logged: release of a slot, and onAsked of an abort', async () => {
    const { registry, logger } = open({ dispatcher: dispatcherWith({ tryAcquire: () => ({ release: rejects }) }) })
    registry.define({ type: 't', id: 'a', run: () => {} })
    await (await registry.start('t', 'a')).finished
    await registry.abort('t', 'a', { onAsked: rejects as never })
    await turn()
    const logged = logger.warn.mock.calls.map(([, message]) => message)
    expect(logged).toEqual(['The dispatcher could not release a slot.', '`onAsked` of an abort threw.'])
  })
})
