import { type Datasource, type Dispatcher, JobRegistry, localDispatcher, memoryStorage } from 'headgate'
import { fakeClock } from 'headgate/testing'
import { describe, expect, it } from 'vitest'

const never = () => new Promise<void>(() => {})
const fails = () => Promise.reject(new Error('broken'))
const throws = () => {
  throw new Error('broken')
}

function revoked(): object {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}

/** A registry of which each part closes in its own way, and what was closed. */
function registryOf(closes: Partial<Record<'dispatcher' | 'storage' | 'one' | 'other', () => Promise<void>>>) {
  const clock = fakeClock()
  const closed: string[] = []
  const close = (name: keyof typeof closes) => () => {
    closed.push(name)
    return closes[name]?.() ?? Promise.resolve()
  }
  const messages: string[] = []
  const warn = (_: object, message: string) => void messages.push(message)
  const datasource = (name: 'one' | 'other'): Datasource =>
    ({ read: async function* () {}, close: close(name) }) as never
  const dispatcher: Dispatcher = Object.assign(localDispatcher(), { close: close('dispatcher') })
  const registry = new JobRegistry({
    clock,
    dispatcher,
    logger: { debug: () => {}, info: () => {}, warn, error: warn },
    storage: Object.assign(memoryStorage({ clock }), { close: close('storage') }),
    datasources: { one: datasource('one'), other: datasource('other') },
  })
  return { registry, clock, closed, messages }
}

describe('close', () => {
  const all = ['dispatcher', 'one', 'other', 'storage']

  it.each(['dispatcher', 'storage', 'one'] as const)(
    'ends within 5 s, and closes all others, though the %s hangs',
    async (name) => {
      const { registry, clock, closed, messages } = registryOf({ [name]: never })
      const closing = registry.close()
      await clock.advance(5000)
      await closing
      expect(closed.toSorted()).toEqual(all)
      expect(messages).toEqual([`The ${name === 'one' ? 'datasource [one]' : name} did not close and was left behind.`])
    },
  )

  it.each([
    ['rejects', fails],
    ['throws', throws],
    ['rejects with what cannot be read', () => Promise.reject(revoked())],
  ])('closes all others and tells operators, though one %s', async (_, close) => {
    for (const name of ['dispatcher', 'storage', 'one'] as const) {
      const { registry, closed, messages } = registryOf({ [name]: close })
      await registry.close()
      expect(closed.toSorted()).toEqual(all)
      expect(messages).toHaveLength(1)
    }
  })

  it('refuses options that cannot be read', async () => {
    const { proxy, revoke } = Proxy.revocable({}, {})
    revoke()
    const { registry } = registryOf({})
    expect(() => registry.close(proxy)).toThrow(
      expect.objectContaining({
        code: 'invalid_options',
        message: expect.stringContaining('an object whose properties can be read'),
      }),
    )
    await registry.close()
  })

  it('has one deadline for all that hangs', async () => {
    const { registry, clock, closed } = registryOf({ dispatcher: never, storage: never, one: never, other: never })
    const closing = registry.close()
    await clock.advance(5000)
    await closing
    expect(closed.toSorted()).toEqual(all)
  })
})

describe('an abort that waits for a job which does not stop', () => {
  const deaf = { type: 'test', id: 'a', run: never }

  it.each(['this registry', 'another registry'])(
    'rejects with `closed` when its registry closes, in %s',
    async (where) => {
      const clock = fakeClock()
      const storage = memoryStorage({ clock })
      const [own, other] = ['own', 'other'].map((node) => new JobRegistry({ storage, clock, node }))
      for (const registry of [own, other]) registry?.define(deaf)
      await (where === 'this registry' ? own : other)?.start('test', 'a')
      const aborted = own?.abort('test', 'a', { timeout: 86_400_000 }).then(String, ({ code }) => code)
      await clock.advance(100)
      const closing = own?.close({ timeout: 500 })
      await clock.advance(500)
      await closing
      expect(await Promise.race([aborted, Promise.resolve('pending')])).toBe('closed')
      const left = other?.close({ timeout: 0 })
      await clock.advance(20_000)
      await left
    },
  )

  it('resolves when the job stops as its registry closes, and when its own time is over before', async () => {
    const clock = fakeClock()
    const registry = new JobRegistry({ storage: memoryStorage({ clock }), clock })
    registry.define(deaf)
    registry.define({ type: 'test', id: 'b', run: ({ signal }) => new Promise((stop) => (signal.onabort = stop)) })
    for (const id of ['a', 'b']) await registry.start('test', id)
    const states = ['a', 'b'].map((id) => registry.abort('test', id, { timeout: 100 }).then((status) => status?.state))
    const closing = registry.close({ timeout: 500 })
    for (let step = 0; step < 5; step++) await clock.advance(100)
    await closing
    expect(await Promise.all(states)).toEqual(['aborting', 'aborted'])
  })
})
