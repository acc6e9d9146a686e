import { type IngestionJob, JobRegistry, memoryStorage } from 'headgate'
import type { TargetWriter } from 'headgate/adapter'
import { testDatasource } from 'headgate/testing'
import { describe, expect, test } from 'vitest'

function revoked(): object {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}

function fail(): never {
  throw new RangeError('no')
}

/** What an adapter may throw that says nothing. */
const unreadable: [what: string, value: unknown][] = [
  ['a revoked proxy', revoked()],
  ['an object whose properties throw', new Proxy({}, { get: fail, has: fail, getPrototypeOf: fail })],
  ['an object whose toString throws', { toString: fail }],
  ['an object without a prototype', Object.create(null)],
  ['nothing', undefined],
]

const records = [{ id: 1 }, { id: 2 }]

function writer(more: object): Partial<IngestionJob> {
  const target = { kind: 'odd', open: () => ({ writer: { write: () => {}, ...more } as TargetWriter }) }
  return { target }
}

function source(more: object): Partial<IngestionJob> {
  return { cursor: 'id', datasource: { ...testDatasource(records), kind: 'odd', ...more } }
}

const doors: Record<string, (thrown: () => never) => Partial<IngestionJob>> = {
  'target `open`': (thrown) => ({ target: { kind: 'odd', open: thrown } }),
  'target `write`': (thrown) => writer({ write: thrown }),
  'target `flush`': (thrown) => writer({ flush: thrown }),
  'target `commit`': (thrown) => writer({ commit: thrown }),
  'target `needs`': (thrown) => ({ target: { kind: 'odd', open: fail, needs: thrown } }),
  'datasource `readByCursor`': (thrown) => source({ readByCursor: thrown }),
  'datasource `read`': (thrown) => ({ datasource: { kind: 'odd', read: thrown } }),
  'datasource `partition`': (thrown) => ({ ...source({ partition: thrown }), partitions: 2 }),
}

describe.each(unreadable)('%s', (_, value) => {
  test.each(Object.entries(doors))('names the method of the %s that threw it', async (door, make) => {
    const registry = new JobRegistry({ storage: memoryStorage() })
    const thrown = (): never => {
      throw value
    }
    registry.define({ id: 'a', datasource: testDatasource(records), target: () => {}, ...make(thrown) })
    const { finished } = await registry.start('ingestion', 'a')
    const [adapter, method] = door.split(' ')
    const message = expect.stringMatching(new RegExp(`^The ${adapter}.* could not answer ${method}\\.$`))
    expect(await finished).toMatchObject({ state: 'error', error: expect.arrayContaining([message]) })
    await registry.close()
  })
})
