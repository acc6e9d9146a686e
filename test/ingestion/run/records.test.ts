import { runInNewContext } from 'node:vm'
import { type IngestionJob, type JobRecord, JobRegistry, memoryStorage } from 'headgate'
import { RecordBatch } from 'headgate/adapter'
import { iterableDatasource } from 'headgate/iterable'
import { streamDatasource } from 'headgate/stream'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

/** How a job ended, and what it wrote. */
async function end(job: Partial<IngestionJob>) {
  const registry = new JobRegistry({ storage: memoryStorage() })
  const written: JobRecord[] = []
  const target = (batch: RecordBatch) => void written.push(...batch.records())
  registry.define({ id: 'a', datasource: iterableDatasource([{ id: 1 }]), target, ...job } as IngestionJob)
  const status = await (await registry.start('ingestion', 'a')).finished
  await registry.close()
  return { state: status.state, error: status.state === 'error' ? status.error.join(' ') : '', written }
}

/** Datasources and functions that give `records`, as code of a user would. */
const doors: Record<string, (records: () => unknown[]) => Partial<IngestionJob>> = {
  'an array': (records) => ({ datasource: iterableDatasource(() => records() as JobRecord[]) }),
  'an array that is sorted by a cursor': (records) => {
    return { cursor: 'id', datasource: iterableDatasource(() => records() as JobRecord[]) }
  },
  'a set': (records) => ({ datasource: iterableDatasource(() => new Set(records()) as Set<JobRecord>) }),
  'an array as a stream': (records) => ({ datasource: streamDatasource(() => records() as JobRecord[]) }),
  'a cursor': (records) => {
    return { datasource: streamDatasource(() => ({ read: async () => records() as JobRecord[] })) }
  },
  'a batch of a datasource': (records) => ({
    datasource: {
      kind: 'own',
      async *read() {
        yield RecordBatch.fromRecords(records() as JobRecord[])
      },
    },
  }),
  'a batch of a read by a cursor': (records) => ({
    cursor: 'id',
    query: '-',
    datasource: {
      kind: 'own',
      read: () => expect.unreachable(),
      async *readByCursor() {
        yield { batch: RecordBatch.fromRecords(records() as JobRecord[]) }
      },
    },
  }),
  'a transform': (records) => ({ transform: () => records() as JobRecord[] }),
  'a transform of a batch': (records) => ({ transformBatch: () => records() as JobRecord[] }),
}

class Account {
  constructor(readonly id: number) {}
}

class Hidden {
  #id = 1
  get id(): number {
    return this.#id
  }
}

class Lazy {
  #id = 1
  toJSON() {
    return { id: this.#id }
  }
}

const throwing = { get: () => expect.fail(), getPrototypeOf: () => expect.fail() }

describe.each(Object.entries(doors))('records of %s', (name, door) => {
  const unhandled: unknown[] = []
  const note = (error: unknown) => unhandled.push(error)

  beforeEach(() => {
    unhandled.length = 0
    process.on('unhandledRejection', note)
  })

  afterEach(() => {
    process.off('unhandledRejection', note)
  })

  it('may not be promises, whose rejections end nothing', async () => {
    const load = async (id: number) => {
      if (id > 1) throw new Error(`no ${id}`)
      return { id }
    }
    const { state, error, written } = await end(door(() => [1, 2, 3].map(load)))
    expect([state, written]).toEqual(['error', []])
    expect(error).toContain('got a promise. Await it first.')
    // Node reports unhandled rejections once the microtasks are done.
    await new Promise(setImmediate)
    expect(unhandled).toEqual([])
  })

  it.each<[string, () => unknown]>([
    // biome-ignore lint/suspicious/noThenProperty: what a query builder of an ORM is
    ['a promise', () => ({ then: () => expect.fail('ran') })],
    ['a function', () => () => {}],
    ['an object of the class Map', () => new Map([['id', 1]])],
    ['an object of the class Set', () => new Set([1])],
    ['an object of the class Date', () => new Date()],
    ['an object of the class RangeError', () => Object.assign(new RangeError('no'), { code: 'E' })],
    ['an object of the class String', () => new String('id')],
    ['an object of the class URLSearchParams', () => new URLSearchParams('id=1')],
    ['an object of the class Hidden', () => new Hidden()],
    ['an object that cannot be read', () => new Proxy({}, throwing)],
    ['bytes', () => new Uint8Array(3)],
    ['an array', () => ['id', 1]],
    ['null', () => null],
    ['nothing', () => undefined],
  ])('may not be %s', async (shown, make) => {
    const { state, error, written } = await end(door(() => [make()]))
    expect([state, written]).toEqual(['error', []])
    expect(error).toContain(`got ${shown}`)
  })

  // A cursor needs a column of every record.
  it.skipIf(name.includes('sorted'))(
    'may be objects of any class with properties, of another realm, or with `toJSON`',
    async () => {
      let isRead = false
      const make = () => {
        if (isRead) return []
        isRead = true
        return [{ id: 1 }, new Account(2), Object.create(null, { id: { value: 3, enumerable: true } }), new Lazy()]
      }
      const records = () => [...make(), ...(runInNewContext('[{ id: 5 }]') as object[])].slice(0, 5)
      const { state, written } = await end(door(() => (isRead ? [] : records())))
      expect([state, written.map(({ id }) => id)]).toEqual(['successful', [1, 2, 3, undefined, 5]])
    },
  )
})

it('a transform may return a thenable of another class than the promise of the language', async () => {
  // biome-ignore lint/suspicious/noThenProperty: what a query builder of an ORM is
  const transform = () => ({ then: (resolve: (value: unknown) => void) => resolve({ id: 7 }) }) as never
  expect(await end({ transform })).toMatchObject({ state: 'successful', written: [{ id: 7 }] })
})
