import { JobRegistry, memoryStorage } from 'headgate'
import { fakeClock, testDatasource } from 'headgate/testing'
import { describe, expect, onTestFinished, test } from 'vitest'
import { compileQuery } from '../../../src/ingestion/definition/query-template.js'

describe('a template', () => {
  const render = (template: string, params: Record<string, unknown>) => compileQuery(template).render({ params })

  test('binds parameters, also inside of sections and of other parameters', () => {
    const template =
      'select * from t where a = {{params.a}} {{#params.b.c}}and c = {{params.b.c}}{{/params.b.c}} {{^params.b}}and b is null{{/params.b}}'
    const hostile = "x' or 1=1 --"
    expect(render(template, { a: hostile, b: { c: 2 } })).toEqual({
      text: 'select * from t where a = $1 and c = $2 ',
      values: [hostile, 2],
    })
    expect(render(template, { a: 1 })).toEqual({ text: 'select * from t where a = $1  and b is null', values: [1] })
  })

  test('iterates over a list, and leaves out what is false', () => {
    const template =
      'select * from t where id in (0 {{#params.ids}}, {{.}}{{/params.ids}}){{#params.all}} or true{{/params.all}}'
    expect(render(template, { ids: [7, 8], all: false })).toEqual({
      text: 'select * from t where id in (0 , $1, $2)',
      values: [7, 8],
    })
    expect(render(template, { ids: [], all: true }).text).toBe('select * from t where id in (0 ) or true')
  })

  test.each([
    [{}, 'Expected `params.a` to be given, as the query uses {{params.a}}, got nothing'],
    [{ a: [1] }, 'Expected `params.a` to be a single value'],
    [{ a: { b: 1 } }, 'Expected `params.a` to be a single value'],
  ])('refuses %j', (params, message) => {
    expect(() => render('select {{params.a}}', params)).toThrow(message)
    expect(() => render('select {{params.constructor}}', {})).toThrow('`params.constructor` to be given')
  })

  test('does not resume by them', () => {
    expect(compileQuery('select {{params.a}}')).toMatchObject({ resumes: false, params: ['a'] })
    expect(compileQuery('select 1').missingIn({})).toBeUndefined()
    expect(() => compileQuery('select {{params}}')).toThrow('params.<name>')
  })
})

/** A job that resumes by a cursor, over rows that a query with parameters would select. */
function open(more: object = {}) {
  const clock = fakeClock()
  const registry = new JobRegistry({ storage: memoryStorage({ clock }), clock })
  onTestFinished(() => registry.close())
  const read: unknown[] = []
  const rows = [{ id: 1 }, { id: 2 }]
  const define = (options: object) =>
    registry.define({
      id: 'a',
      datasource: testDatasource(rows),
      cursor: 'id',
      query: 'select * from t where customer = {{params.customer}}',
      target: (batch) => void read.push(...batch.records()),
      ...options,
    })
  define(more)
  const redefine = (options: object) => {
    registry.remove('ingestion', 'a')
    define(options)
  }
  const run = async (params: Record<string, unknown>) => (await registry.start('ingestion', 'a', { params })).finished
  return { registry, run, read, redefine }
}

/** A schema for parameters. */
function schemaThat(validate: (params: Record<string, unknown>) => object) {
  return { '~standard': { version: 1, vendor: 'test', validate } }
}

describe('a checkpoint', () => {
  test('is not resumed from with other values of the parameters that select records', async () => {
    const { run, read } = open()
    expect(await run({ customer: 'acme', note: 1 })).toMatchObject({ state: 'successful', count: 2 })
    const refused = await run({ customer: 'other' })
    expect(refused).toMatchObject({ state: 'error', error: [expect.stringContaining('`params.customer`')] })
    expect(await run({ note: 2, customer: 'acme' })).toMatchObject({ state: 'successful', count: 0 })
    expect(read).toHaveLength(2)
  })

  test('is resumed from when the job says that they select none', async () => {
    const { run } = open({ selectedBy: [] })
    await run({ customer: 'acme' })
    expect(await run({ customer: 'other' })).toMatchObject({ state: 'successful', count: 0 })
  })

  test.each([{}, { partitions: 2 }])(
    'is resumed from when the job says later that they select none, with any value (%j)',
    async (more) => {
      const { registry, run, redefine } = open(more)
      await run({ customer: 'acme', label: 'x' })
      redefine({ ...more, selectedBy: ['label'] })
      // A name that is added was not compared before.
      expect(await run({ customer: 'other', label: 'x' })).toMatchObject({
        state: 'error',
        error: [expect.stringMatching(/other values of `params.label`, by which/)],
      })
      redefine({ ...more, selectedBy: [] })
      expect(await run({ customer: 'other' })).toMatchObject({ state: 'successful', count: 0 })
      redefine(more)
      // The run above stored that nothing selects.
      expect(await run({ customer: 'acme' })).toMatchObject({ state: 'error' })
      await registry.reset('ingestion', 'a')
      expect(await run({ customer: 'acme' })).toMatchObject({ state: 'successful', count: 2 })
    },
  )

  test('is still compared by the names that are left', async () => {
    const { run, redefine } = open({ selectedBy: ['customer', 'label'] })
    await run({ customer: 'acme', label: 'x' })
    redefine({ selectedBy: ['customer'] })
    expect(await run({ customer: 'other', label: 'y' })).toMatchObject({ state: 'error' })
    expect(await run({ customer: 'acme', label: 'y' })).toMatchObject({ state: 'successful', count: 0 })
  })

  test('is compared by a name that the query does not use any more, unless `selectedBy` says otherwise', async () => {
    const { run, redefine } = open()
    await run({ customer: 'acme' })
    redefine({ query: 'select * from t' })
    expect(await run({})).toMatchObject({ state: 'error', error: [expect.stringContaining('`params.customer`')] })
    redefine({ query: 'select * from t', selectedBy: [] })
    expect(await run({})).toMatchObject({ state: 'successful', count: 0 })
  })

  test('does not matter to a job that starts over', async () => {
    const { run } = open({ resume: 'restart' })
    await run({ customer: 'acme' })
    expect(await run({ customer: 'other' })).toMatchObject({ state: 'successful', count: 2 })
  })

  test('is set by a reset for the parameters that it names', async () => {
    const after = (id: unknown = 0) => [{ id: 1 }, { id: 2 }].filter((row) => row.id > Number(id))
    const { registry, run, read } = open({
      query:
        'select * from t where customer = {{params.customer}} {{#last_id}}and id > {{last_id}}{{/last_id}} order by id',
      cursor: undefined,
      pkField: 'id',
      datasource: testDatasource(({ values: [, lastId] }) => after(lastId)),
    })
    await run({ customer: 'acme' })
    await expect(registry.reset('ingestion', 'a', { checkpoint: { lastId: '1' } })).rejects.toMatchObject({
      code: 'invalid_options',
      message:
        'Expected `checkpoint.params` to be an object with the parameters that select its records: `customer`, got nothing',
    })
    const reset = { checkpoint: { lastId: '1', params: { customer: 'other', note: 1 } } }
    await registry.reset('ingestion', 'a', reset)
    expect(await run({ customer: 'acme' })).toMatchObject({ state: 'error' })
    await registry.reset('ingestion', 'a', reset)
    read.length = 0
    expect(await run({ customer: 'other' })).toMatchObject({ state: 'successful', count: 1 })
    expect(read).toEqual([{ id: 2 }])
    await registry.reset('ingestion', 'a')
    expect(await run({ customer: 'acme' })).toMatchObject({ state: 'successful', count: 2 })
  })

  test('is set by a reset with the parameters of a start, which pass the schema of the job', async () => {
    const params = schemaThat(({ customer, ...others }) =>
      typeof customer === 'string' && Object.keys(others).length === 0
        ? { value: { customer: customer.toUpperCase() } }
        : { issues: [{ message: 'expected a name', path: ['customer'] }] },
    )
    const { registry, run, redefine } = open({ params })
    await run({ customer: 'acme' })
    const checkpoint = { cursor: { id: 1 }, params: { customer: 'acme' } }
    await registry.reset('ingestion', 'a', { checkpoint })
    const shown = await registry.status('ingestion', 'a')
    expect(shown?.checkpoint).toEqual({ cursor: { id: '1' }, params: { customer: 'acme' } })
    expect(await run({ customer: 'acme' })).toMatchObject({ state: 'successful', count: 1 })
    // What a run stores is shown in the form that a reset takes too.
    const later = (await registry.status('ingestion', 'a'))?.checkpoint
    expect(later).toMatchObject({ params: { customer: 'acme' } })
    await registry.reset('ingestion', 'a', { checkpoint: later })
    expect(await run({ customer: 'ACME' })).toMatchObject({ state: 'successful', count: 0 })
    for (const [given, reason] of [
      [{ customer: 1 }, '`checkpoint.params.customer`: expected a name.'],
      [{ customer: 'acme', note: 1 }, '`checkpoint.params.customer`: expected a name.'],
    ] as const) {
      const refused = registry.reset('ingestion', 'a', { checkpoint: { ...checkpoint, params: given } })
      await expect(refused).rejects.toMatchObject({
        code: 'invalid_options',
        message: `Expected \`checkpoint.params\` to match the schema of the job. ${reason}`,
      })
    }
    redefine({})
    const lacking = registry.reset('ingestion', 'a', { checkpoint: { cursor: { id: 1 }, params: { note: 1 } } })
    await expect(lacking).rejects.toThrow('Expected `params.customer` to be given, as the query uses')
    const lost = registry.reset('ingestion', 'a', { checkpoint: { ...checkpoint, params: { customer: new Map() } } })
    await expect(lost).rejects.toThrow('Expected `checkpoint.params.customer` to be a value that JSON keeps')
  })

  test('of partitions is set by a reset with the parameters of a start', async () => {
    const params = schemaThat(({ customer }) => ({ value: { customer: `${customer}`.toUpperCase() } }))
    const { registry, run } = open({ params, partitions: 2 })
    await run({ customer: 'acme' })
    const checkpoint = (await registry.status('ingestion', 'a'))?.checkpoint
    expect(checkpoint).toMatchObject({ params: { customer: 'acme' } })
    await registry.reset('ingestion', 'a', { checkpoint })
    expect(await run({ customer: 'acme' })).toMatchObject({ state: 'successful', count: 0 })
    expect(await run({ customer: 'other' })).toMatchObject({ state: 'error' })
  })

  test('depends on all parameters of a query function', async () => {
    const { run } = open({ query: () => ({ text: 'all' }) })
    await run({ customer: 'acme' })
    expect(await run({ customer: 'other' })).toMatchObject({ state: 'error' })
    expect(await run({ customer: 'acme' })).toMatchObject({ state: 'successful' })
  })

  test('does not tell a parameter that is null from one that is absent', async () => {
    const { run } = open({
      resume: 'auto',
      query: 'select 1 {{#params.customer}}where c = {{params.customer}}{{/params.customer}}',
    })
    expect(await run({ customer: null })).toMatchObject({ state: 'successful', count: 2 })
    expect(await run({})).toMatchObject({ state: 'successful', count: 0 })
    expect(await run({ customer: null })).toMatchObject({ state: 'successful', count: 0 })
    expect(await run({ customer: 'acme' })).toMatchObject({ state: 'error' })
  })

  test('belongs to the parameters with partitions too', async () => {
    const { run } = open({ partitions: 2 })
    expect(await run({ customer: 'acme' })).toMatchObject({ state: 'successful', count: 2 })
    expect(await run({ customer: 'other' })).toMatchObject({ state: 'error' })
    expect(await run({ customer: 'acme' })).toMatchObject({ state: 'successful', count: 0 })
  })
})

describe('`selectedBy`', () => {
  const unknown = (known: string) =>
    `Expected \`selectedBy[0]\` to be a parameter that the template uses or that the start gives, also as null: one of ${known}, got \`custmer\` (string)`

  test('with a name that no parameter has is refused by a start with parameters', async () => {
    const { run, registry } = open({ selectedBy: ['custmer'] })
    await expect(run({ customer: 'acme', note: 1 })).rejects.toMatchObject({
      code: 'invalid_options',
      message: unknown('`customer`, `note`'),
    })
    expect(await registry.status('ingestion', 'a')).toBeUndefined()
  })

  test('with a name that no parameter has is refused with the query function of a job', async () => {
    const { run, redefine } = open({ selectedBy: ['custmer'], query: () => ({ text: 'all' }) })
    await expect(run({ customer: 'acme' })).rejects.toThrow(unknown('`customer`'))
    // What schedules and starts without parameters select is all.
    expect(await run({})).toMatchObject({ state: 'successful' })
    redefine({ selectedBy: ['customer'], query: () => ({ text: 'all' }) })
    expect(await run({ customer: null, note: 1 })).toMatchObject({ state: 'successful', count: 0 })
  })

  test('with a name that no parameter has is refused when the job is defined with a schedule that gives parameters', () => {
    const schedule = { every: 1000, params: { customer: 'acme' } }
    expect(() => open({ selectedBy: ['custmer'], schedule })).toThrow(unknown('`customer`'))
    open({ selectedBy: ['customer'], schedule })
  })

  test('has the names of a template, and those that the schema gives', async () => {
    const query = 'select 1 {{#params.customer}}where c = {{params.customer}}{{/params.customer}}'
    const { run, redefine } = open({ selectedBy: ['customer'], query })
    expect(await run({ note: 1 })).toMatchObject({ state: 'successful' })
    const value = { region: 'eu' }
    const params = schemaThat(() => ({ value }))
    redefine({ selectedBy: ['region'], query: 'select 1', params })
    expect(await run({ area: 1 })).toMatchObject({
      state: 'error',
      error: [expect.stringContaining('`params.region`')],
    })
  })
})

test('functions of the target and of dead letters receive the parameters, an empty object without any', async () => {
  const seen: unknown[] = []
  await using registry = new JobRegistry({ storage: memoryStorage() })
  registry.define({
    id: 'a',
    datasource: testDatasource([{ id: 1 }]),
    target: (_, { params }) => {
      seen.push(params)
      throw new Error('no')
    },
    failures: { deadLetters: (_, { params }) => void seen.push(params) },
  })
  for (const params of [undefined, { customer: 'acme' }]) {
    await (await registry.start('ingestion', 'a', { ...(params && { params }) })).finished
  }
  const half = seen.length / 2
  expect(seen.slice(0, half)).toEqual(Array(half).fill({}))
  expect(seen.slice(half)).toEqual(Array(half).fill({ customer: 'acme' }))
})
