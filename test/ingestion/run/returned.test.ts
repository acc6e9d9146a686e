import { once } from 'node:events'
import { PassThrough, Readable, Writable } from 'node:stream'
import { type IngestionJob, JobRegistry, memoryStorage } from 'headgate'
import { iterableDatasource } from 'headgate/iterable'
import { ndjsonFile } from 'headgate/ndjson'
import { collectingTarget } from 'headgate/testing'
import { DummyDriver, Kysely, PostgresAdapter, PostgresIntrospector, PostgresQueryCompiler, sql } from 'kysely'
import { describe, expect, it } from 'vitest'

const kysely = new Kysely<{ t: { id: number } }>({
  dialect: {
    createAdapter: () => new PostgresAdapter(),
    createDriver: () => new DummyDriver(),
    createIntrospector: (db) => new PostgresIntrospector(db),
    createQueryCompiler: () => new PostgresQueryCompiler(),
  },
})

const save = async () => {
  throw new Error('not saved')
}

/** What can only mean that the work of a function is not done, and what the message says of it. */
const undone: Record<string, [make: () => unknown, found: string]> = {
  'a generator': [function* () {}, 'a generator, whose code has not run. Write the function without `*`.'],
  'an async generator': [async function* () {}, 'a generator, whose code has not run.'],
  'a generator of a compiler': [
    () => ({ next() {}, throw() {}, return() {}, [Symbol.iterator]() {} }),
    'a generator, whose code has not run.',
  ],
  'a function': [() => () => {}, 'a function that was not called. Give that function itself, or call it.'],
  'an async function': [async () => async () => {}, 'a function that was not called.'],
  'a target': [() => ndjsonFile({ path: '/nowhere' }), 'a target. Give the target itself'],
  'a promise of a target': [async () => collectingTarget(), 'a target. Give the target itself'],
  'an error': [() => new Error('not saved'), 'an error. Throw it. not saved'],
  'a Response': [() => new Response('', { status: 503 }), 'a Response with the status 503. Throw an error'],
  'an array of Responses': [
    () => Promise.all([new Response(), Response.json({}, { status: 404 })]),
    'an array with a Response with the status 404.',
  ],
  'an array of promises': [() => [save(), save()], 'an array of promises. Await them first: `await Promise.all(…)`.'],
  'promises of chunks': [() => [[1], [save(), save()]], 'an array of promises. Await them first'],
  'an object of promises': [() => ({ rows: 5, one: save() }), 'an object of promises. Await them first'],
  'a set of promises': [() => new Set([1, save()]), 'a Set of promises. Await them first: `await Promise.all(…)`.'],
  'a map of promises': [() => new Map([[1, save()]]), 'a Map of promises. Await them first'],
  'a map of chunks of promises': [() => new Map([[1, [save()]]]), 'a Map of promises. Await them first'],
  'a query of kysely': [
    () => kysely.insertInto('t').values({ id: 1 }),
    'a query that was not run. Run it, and wait for it: `await query.execute()`.',
  ],
  'queries of kysely': [
    () => [kysely.insertInto('t').values({ id: 1 }), sql`select 1`],
    'an array with a query that was not run.',
  ],
  'a stream that takes what another one gives': [
    () => Readable.from(['a']).pipe(new PassThrough()),
    'a stream that was not finished. Wait until it is: `await pipeline(…)`, or `await finished(stream)`',
  ],
  'a stream that was written to': [
    () => {
      const stream = new Writable({ write: (_, __, done) => done() })
      stream.write('a')
      return stream
    },
    'a stream that was not finished.',
  ],
  'a stream that broke': [() => new Writable().destroy(), 'a stream that was not finished.'],
  'an error in an object': [() => ({ data: null, error: { message: 'no such table' } }), 'an object with an `error`'],
  'an answer that is not ok': [() => ({ ok: false }), 'an object whose `ok` is false. Throw an error when it is.'],
  'errors of a bulk request': [() => ({ errors: true, items: [] }), 'an object whose `errors` is true.'],
  'rejected results': [
    () => Promise.allSettled([1, save()]),
    'an array with a rejected result. Use `Promise.all`, or throw its `reason`. not saved',
  ],
  'an array with an error': [() => [1, new Error('not saved')], 'an array with an error. Throw it. not saved'],
}

const finished = new Writable({ write: (_, __, done) => done() })
finished.end('a')
await once(finished, 'finish')

const unreadable: ProxyHandler<object> = {
  get: (_, name) => (name === 'then' ? undefined : expect.fail()),
  getPrototypeOf: () => expect.fail(),
}

/** What a function may return, as nobody uses it. */
const ignored: [string, unknown][] = [
  ['nothing', undefined],
  ['null', null],
  ['a number', 5],
  ['a text', 'text'],
  ['an object', { open() {}, next() {}, status: 'rejected', reason: 'none' }],
  ['a map', new Map([[1, 2]])],
  ['a set', new Set([1, {}, []])],
  ['a stream that was finished', finished],
  ['a stream to read', Readable.from(['a'])],
  ['the output of the process', process.stdout],
  ['a logger that is a stream', Object.assign(new PassThrough(), { info() {} })],
  ['a connection', { execute() {}, query() {} }],
  ['a builder without `execute`', { compile() {}, toSQL() {} }],
  ['its values', new Map([[1, 2]]).values()],
  ['an array', [1, null, {}, undefined, () => {}, new Map(), [[]]]],
  ['a Response', new Response()],
  ['settled results', [{ status: 'fulfilled', value: 1 }]],
  [
    'rows that were rejected',
    [
      { status: 'rejected', reason: 'its age' },
      { status: 'rejected', reason: 'its size', id: 2 },
    ],
  ],
  ['rows with such columns', [{ ok: false, error: { message: 'a' } }, { errors: true }]],
  ['what went well', { ok: true, error: null, errors: false }],
  ['what cannot be read', new Proxy({}, unreadable)],
]

async function end(job: object): Promise<{ state: string; error: string }> {
  const registry = new JobRegistry({ storage: memoryStorage() })
  const type = 'run' in job ? 'own' : 'ingestion'
  registry.define({
    id: 'a',
    ...('run' in job ? { type } : { datasource: iterableDatasource([{ id: 1 }]) }),
    ...job,
  } as IngestionJob)
  const status = await (await registry.start(type, 'a')).finished
  await registry.close()
  return { state: status.state, error: status.state === 'error' ? status.error.join(' ') : '' }
}

const failing = () => {
  throw new Error('not written')
}

/** The functions whose answers are ignored, and what the message calls them. */
const functions: Record<string, [job: (make: () => unknown) => object, name: string]> = {
  'a function target': [(target) => ({ target }), '`target`'],
  'a target of your own': [
    (write) => ({ target: { kind: 'own', open: () => ({ writer: { write } }) } }),
    'write() of the target',
  ],
  'a dead-letter function': [
    (deadLetters) => ({ target: failing, failures: { total: 9, deadLetters } }),
    '`deadLetters`',
  ],
  '`run` of a job': [(run) => ({ run }), '`run` of the job'],
}

describe.each(Object.entries(functions))('%s', (_, [job, name]) => {
  it.each(Object.entries(undone))('that returns %s has not done its work', async (_, [make, found]) => {
    const { state, error } = await end(job(make))
    expect(state).toBe('error')
    expect(error).toContain(`Expected ${name} to have done its work, got ${found}`)
  })

  it.each(ignored)('may return %s', async (_, answer) => {
    expect(await end(job(() => answer))).toMatchObject({ state: 'successful' })
  })

  it('leaves no rejection of a promise that nobody awaits', async () => {
    const unhandled: unknown[] = []
    const note = (error: unknown) => unhandled.push(error)
    process.on('unhandledRejection', note)
    await end(job(() => [save(), save()]))
    // Node reports unhandled rejections once the microtasks are done.
    await new Promise(setImmediate)
    process.off('unhandledRejection', note)
    expect(unhandled).toEqual([])
  })
})

it('an error that a target returns is transient when it says so', async () => {
  const lost = Object.assign(new Error('lost'), { code: 'ECONNRESET' })
  const answers = [lost, undefined]
  const job = { target: () => answers.shift(), retry: { limit: 1, delay: 1 } }
  expect(await end(job)).toMatchObject({ state: 'successful' })
})

it('an error that a job returns is the error of the job', async () => {
  const lost = Object.assign(new Error('lost'), { code: 'ECONNRESET' })
  const registry = new JobRegistry({ storage: memoryStorage() })
  registry.define({ type: 'own', id: 'a', run: () => lost })
  const { finished } = await registry.start('own', 'a')
  expect(await finished).toMatchObject({ failure: { isTransient: true } })
  expect(await finished).not.toHaveProperty('failure.code')
  await registry.close()
})

describe('a transform that returns', () => {
  it.each<[string, object, string]>([
    ['an error', { transform: () => new Error('no date') }, 'which has no columns. no date'],
    ['an array with an error', { transformBatch: () => [{}, new Error('no date')] }, 'which has no columns. no date'],
    ['settled results', { transformBatch: () => Promise.allSettled([{}, save()]) }, 'got a rejected result. not saved'],
  ])('%s fails with its reason', async (_, job, message) => {
    const { state, error } = await end({ ...job, target: () => {} })
    expect([state, error]).toEqual(['error', expect.stringContaining(message)])
  })

  it('one object again and again fails, as it would be written as it is at last', async () => {
    const record: { id?: number } = {}
    const transform = ({ id }: { id: number }) => Object.assign(record, { id })
    const datasource = iterableDatasource([{ id: 1 }, { id: 2 }])
    const { state, error } = await end({ datasource, transform, target: () => {} })
    expect([state, error]).toEqual(['error', expect.stringContaining('another object for each record')])
  })

  it('a constant passes it on', async () => {
    const constant = Object.freeze({ id: 1 })
    const datasource = iterableDatasource([{ id: 1 }, { id: 2 }])
    expect(await end({ datasource, transform: () => constant, target: () => {} })).toMatchObject({
      state: 'successful',
    })
  })

  it('records with a status passes them on', async () => {
    const target = collectingTarget()
    const records = [{ status: 'rejected', reason: 'its age' }]
    expect(await end({ transformBatch: () => records, target })).toMatchObject({ state: 'successful' })
    expect(target.records).toEqual(records)
  })
})

describe('a query function', () => {
  it.each<[string, unknown, string]>([
    ['nothing', undefined, 'Expected the query function to return `{ text, values }`, got nothing.'],
    ['a promise', Promise.resolve({ text: 'select 1' }), 'return `{ text, values }`, got a promise.'],
    ['a text', 'select 1', 'Expected the query function to return `{ text, values }`, got `select 1` (string).'],
    ['another member', { sql: 'select 1' }, 'Expected `query()` to be an object with `text`, `values`, got `sql`'],
    ['a misspelt member', { txt: 'select 1' }, 'Did you mean `text`?'],
    ['no text', { values: [] }, 'Expected `query().text` to be a string that is not empty, got nothing'],
    ['a value', { text: 'select 1', values: 5 }, 'Expected `query().values` to be an array, got `5` (number)'],
  ])('that returns %s', async (_, answer, message) => {
    const { state, error } = await end({ pkField: 'id', query: () => answer, target: () => {} })
    expect([state, error]).toEqual(['error', expect.stringContaining(message)])
  })
})
