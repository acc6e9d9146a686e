import { type Datasource, type IngestionJob, JobRegistry, memoryStorage } from 'headgate'
import { createJobsHandler } from 'headgate/http'
import { postgresDatasource } from 'headgate/postgres'
import { collectingTarget, fakeClock, heldJob, testDatasource } from 'headgate/testing'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'

/** An ingestion that has read nothing. */
async function setup(job: Partial<IngestionJob> & { datasource: Datasource }, options = {}, params = {}) {
  const storage = memoryStorage()
  const registry = new JobRegistry({ storage, ...options })
  onTestFinished(() => registry.close({ timeout: 0 }))
  registry.define({ id: 'a', query: 'table source', cursor: 'id', target: () => {}, ...job })
  const stored = async () => (await storage.find('ingestion', 'a'))?.checkpoint as { cursor?: unknown } | undefined
  const run = () => registry.start('ingestion', 'a', { params }).then(({ finished }) => finished)
  await run()
  return { registry, stored, run, reset: (checkpoint: unknown) => registry.reset('ingestion', 'a', { checkpoint }) }
}

const after = (columns: string[], values: unknown[]) => ({ after: { columns, ties: 'refuse', values } })

describePostgres('a reset', (database) => {
  let pool: pg.Pool
  beforeAll(async () => {
    pool = new pg.Pool({ connectionString: database.url })
    await pool.query('create table source (id int8 primary key, at date, "after" text)')
    await pool.query("insert into source values (1, '2026-01-01', 'a')")
  })
  afterAll(() => pool.end())
  const setupIn = (cursor: string | string[], job: Omit<Partial<IngestionJob>, 'datasource'> = {}, params = {}) =>
    setup({ datasource: postgresDatasource({ pool }), cursor, ...job }, {}, params)

  test.each([
    ['id', { id: '77000' }, after(['id'], ['77000'])],
    ['id', { id: 77_000 }, after(['id'], ['77000'])],
    ['after', { after: 'x' }, after(['after'], ['x'])],
    [['at', 'id'], { id: 5, at: '2026-01-01' }, after(['at', 'id'], ['2026-01-01', '5'])],
    [['at', 'id'], after(['at', 'id'], ['2026-01-01', '5']), after(['at', 'id'], ['2026-01-01', '5'])],
  ])('of the cursor %j to %j begins there', async (cursor, given, position) => {
    const { reset, stored, run } = await setupIn(cursor)
    await reset({ cursor: given })
    expect((await stored())?.cursor).toEqual(position)
    expect((await run()).state).toBe('successful')
  })

  test.each(
    [
      '77000',
      {},
      [],
      ['77000'],
      null,
      { id: '1', other: '2' },
      { id: null },
      { id: {} },
      { id: 2 ** 53 },
      after(['other'], ['1']),
      after(['id'], []),
      after(['id'], ['1', '2']),
      { after: {} },
      { after: { columns: ['id'], values: ['1'] } },
      { ...after(['id'], ['1']), order: [{ type: 'uuid' }] },
      { ranges: [{ until: 'x' }, {}] },
    ].map((given) => [given]),
  )('to the cursor %j is refused, and the earlier one stays', async (given) => {
    const { reset, stored } = await setupIn('id')
    await reset({ cursor: { id: '5' } })
    await expect(reset({ cursor: given })).rejects.toThrow(/^Expected `checkpoint\.cursor/)
    expect((await stored())?.cursor).toEqual(after(['id'], ['5']))
  })

  test.each([
    ['id', { id: 'banana' }, 'id', 'int8', 'banana'],
    ['id', { id: '9223372036854775808' }, 'id', 'int8', '9223372036854775808'],
    [['at', 'id'], { at: '2026-02-30', id: '1' }, 'at', 'date', '2026-02-30'],
    [['at', 'id'], after(['at', 'id'], ['2026-01-01', 'x']), 'id', 'int8', 'x'],
  ])('of the cursor %j to %j names the column, its type and the value', async (cursor, given, column, type, value) => {
    const { reset, stored } = await setupIn(cursor)
    const before = await stored()
    const reason = `Expected \`checkpoint.cursor.${column}\` to be the text of a value of the type ${type}, got \`${value}\` (string)`
    await expect(reset({ cursor: given })).rejects.toMatchObject({ code: 'invalid_options', message: reason })
    expect(await stored()).toEqual(before)
  })

  test.each([
    [{ at: '2026-01-01' }, '`at`'],
    [{ at: '2026-01-01', id: '1', other: '2' }, '`at`, `id`, `other`'],
    [{}, 'none'],
  ])('to %j names the columns that it has', async (given, got) => {
    const { reset } = await setupIn(['at', 'id'])
    const message = `Expected \`checkpoint.cursor\` to be an object with the values of \`at\`, \`id\`, as in \`{"cursor":{"at":"…","id":"…"}}\`, got ${got}`
    await expect(reset({ cursor: given })).rejects.toMatchObject({ code: 'invalid_options', message })
  })

  test('takes what a status shows, and what storage holds', async () => {
    for (const cursor of ['id', 'after']) {
      const { registry, reset, stored, run } = await setupIn(cursor)
      const shown = (await registry.status('ingestion', 'a'))?.checkpoint
      if (cursor === 'id') expect(shown).toEqual({ cursor: { id: '1' } })
      // The order of a text depends on its collation, which the next run checks.
      else expect(shown).toMatchObject({ cursor: { order: [{ type: 'text' }], ...after(['after'], ['a']) } })
      for (const checkpoint of [shown, await stored()]) {
        await reset(checkpoint)
        expect(await run()).toMatchObject({ state: 'successful', count: 0 })
      }
    }
  })

  test('checks the values with the parameters that it names', async () => {
    const query = 'select * from source where "after" = {{params.name}}'
    const { reset } = await setupIn('id', { query }, { name: 'a' })
    await expect(reset({ cursor: { id: 'banana' }, params: { name: 'a' } })).rejects.toThrow('of the type int8')
    await reset({ cursor: { id: '5' }, params: { name: 'a' } })
  })

  const template = 'select * from source {{#last_id}}where id > {{last_id}}{{/last_id}} order by id'
  const largest = 'select * from source {{#max_primary_key}}where id > {{max_primary_key}}{{/max_primary_key}}'
  const byTemplate = (query: string, pkField = 'id') => setupIn(undefined as never, { query, pkField })

  test.each([
    ['lastId', template, 'banana'],
    ['lastId', template, '9223372036854775808'],
    ['maxPrimaryKey', largest, 'banana'],
    ['lastId', `with s as (${template}) select * from s;`, 'banana'],
  ])('of a template to another %s than its column can have is refused: %s', async (name, query, value) => {
    const { reset, stored, run } = await byTemplate(query)
    const before = await stored()
    const reason = `Expected \`checkpoint.${name}\` to be the text of a value of the type int8, got \`${value}\` (string)`
    await expect(reset({ [name]: value })).rejects.toMatchObject({ code: 'invalid_options', message: reason })
    expect(await stored()).toEqual(before)
    await reset({ [name]: '0' })
    expect(await run()).toMatchObject({ state: 'successful', count: 1 })
  })

  test.each([
    ['a function', ({ lastId = '0' }) => ({ text: 'select * from source where id > $1', values: [lastId] })],
    ['a statement that is no subquery', `${template} for update`],
    ['a column of a type without a cursor', template.replace('*', '*, point(1, 2) as p'), 'p'],
  ])('of %s to a last id is taken', async (_, query, pkField = 'id') => {
    const { reset, stored } = await setupIn(undefined as never, { query: query as string, pkField })
    await reset({ lastId: '5' })
    expect(await stored()).toMatchObject({ lastId: '5' })
  })

  test('of a template takes what a status shows, for columns of all types', async () => {
    const types = [
      'int4',
      'numeric',
      'float8',
      'text',
      'date',
      'timestamp',
      'timestamptz',
      'time',
      'uuid',
      'boolean',
      'bytea',
      'interval',
    ]
    const values: Record<string, string> = {
      text: "'x'",
      date: "'2026-01-01'",
      timestamp: "'2026-01-01 00:00:00.123456'",
      timestamptz: "'2026-01-01 00:00:00.5+02'",
      time: "'10:00'",
      uuid: 'gen_random_uuid()',
      boolean: 'true',
      bytea: "'x'",
      interval: "'1 day'",
    }
    for (const type of types) {
      const source = `(select (${values[type] ?? 7})::${type} as k) s`
      const query = `select k from ${source} {{#last_id}}where k > {{last_id}}::${type}{{/last_id}} order by k`
      const { registry, reset, run } = await byTemplate(query, 'k')
      const shown = (await registry.status('ingestion', 'a'))?.checkpoint
      expect(shown).toEqual({ lastId: expect.any(String) })
      await reset(shown)
      expect(await run()).toMatchObject({ state: 'successful' })
    }
  })

  test('takes a value as it is when the query needs parameters that select no records', async () => {
    const query = 'select * from source where id < {{params.limit}}'
    const { reset, stored } = await setupIn('id', { query, selectedBy: [] }, { limit: 5 })
    await reset({ cursor: { id: '5' } })
    expect((await stored())?.cursor).toEqual(after(['id'], ['5']))
  })
})

test('a reset whose source cannot be reached changes nothing, and is a 503 over HTTP', async () => {
  const datasource = postgresDatasource({ connectionString: 'postgres://localhost:1/none' })
  const { registry, reset, stored } = await setup({ datasource })
  const before = await stored()
  await expect(reset({ cursor: { id: '5' } })).rejects.toMatchObject({
    code: 'datasource',
    message: 'The datasource [postgres] could not check the checkpoint. Nothing was reset.',
  })
  const url = `http://localhost/_siren/connector/jobs/ingestion/a/_reset?checkpoint=${encodeURIComponent('{"cursor":{"id":"5"}}')}`
  const answer = await createJobsHandler(registry)(new Request(url, { method: 'POST' }))
  expect([answer.status, await answer.json()]).toMatchObject([503, { error: { type: 'datasource' } }])
  expect(await stored()).toEqual(before)
  // The same for a template.
  const byTemplate = await setup({
    datasource,
    query: 'table source {{#last_id}}where id > {{last_id}}{{/last_id}}',
    pkField: 'id',
    cursor: undefined as never,
  })
  await expect(byTemplate.reset({ lastId: '5' })).rejects.toMatchObject({ code: 'datasource' })
  // What asks the source for nothing works without it.
  await reset(null)
})

test('a reset waits 10 seconds for the source', async () => {
  const clock = fakeClock()
  const givenPosition = vi.fn(() => new Promise(() => {}))
  const datasource = { ...testDatasource([{ id: 1 }]), givenPosition }
  const { reset, stored } = await setup({ datasource, query: 'all' }, { clock })
  const before = await stored()
  const refused = expect(reset({ cursor: { id: '5' } })).rejects.toMatchObject({
    code: 'datasource',
    message: 'The datasource did not check the checkpoint within 10000 ms. Nothing was reset.',
  })
  await vi.waitFor(() => expect(givenPosition).toHaveBeenCalled())
  await clock.advance(10_000)
  await refused
  expect(await stored()).toEqual(before)
})

test('a reset takes the number of a last id as its text, and names the field of another value', async () => {
  const query = 'all {{#last_id}}after {{last_id}}{{/last_id}}'
  const datasource = testDatasource([{ id: 1 }])
  const storage = memoryStorage()
  await using registry = new JobRegistry({ storage })
  registry.define({ id: 'a', datasource, query, pkField: 'id', target: () => {} })
  const reset = (lastId: unknown) => registry.reset('ingestion', 'a', { checkpoint: { lastId } })
  await (await registry.start('ingestion', 'a')).finished
  await reset(10)
  expect((await storage.find('ingestion', 'a'))?.checkpoint).toMatchObject({ lastId: '10' })
  for (const lastId of [1.5, 2 ** 53, true, null])
    await expect(reset(lastId)).rejects.toThrow('Expected `checkpoint.lastId` to be a string of up to')
})

describe('a reset to a checkpoint of another form shows that of the job', () => {
  const byCursor = (cursor: string | string[]) => setup({ datasource: testDatasource([{ id: 1, at: 2 }]), cursor })
  const byTemplate = (query: string) =>
    setup({ datasource: testDatasource([{ id: 1 }]), query, pkField: 'id', cursor: undefined as never })

  test.each([
    [5, '`5` (number)'],
    ['5', '`5` (string)'],
    [[5], 'an array'],
    [{ id: 5 }, '`id` (string)'],
    [{ curser: { id: '5' } }, '`curser` (string). Did you mean `cursor`?'],
    [{ Cursor: { id: '5' } }, '`Cursor` (string). Did you mean `cursor`?'],
  ])('a job with a cursor: %j', async (checkpoint, got) => {
    const { reset } = await byCursor(['at', 'id'])
    const form = '`{"cursor":{"at":"…","id":"…"}}`'
    const message = `Expected \`checkpoint\` to be an object such as ${form}, got ${got}`
    await expect(reset(checkpoint)).rejects.toMatchObject({ code: 'invalid_options', message })
  })

  test('a job with a cursor: none, or another position', async () => {
    const { reset } = await byCursor('id')
    const form = '`{"cursor":{"id":"…"}}`'
    const none = `Expected \`checkpoint.cursor\` to be the position to resume from, as in ${form}, got nothing`
    await expect(reset({})).rejects.toMatchObject({ message: none })
    for (const cursor of [5, 'x', [], { other: 1 }]) {
      await expect(reset({ cursor })).rejects.toThrow(`to be an object with the values of \`id\`, as in ${form}, got`)
    }
  })

  test.each([
    ['a {{#last_id}}{{last_id}}{{/last_id}}', '{"lastId":"…"}'],
    ['a {{#last_id}}{{last_id}} {{params.of}}{{/last_id}}', '{"lastId":"…","params":{"of":"…"}}'],
    ['a{{#last_record}} {{.}} {{/last_record}}', '{"lastRecord":["…"]}'],
  ])('a job with the template %s', async (query, form) => {
    const { reset } = await byTemplate(query)
    await expect(reset({ last: 1 })).rejects.toThrow(`to be an object such as \`${form}\`, got \`last\``)
    await expect(reset({})).rejects.toThrow(`an object with what the query resumes from, as in \`${form}\`, got`)
    await expect(reset({ cursor: { id: '1' } })).rejects.toThrow(
      `\`checkpoint.cursor\` to be omitted, as the job has no \`cursor\`: it resumes from \`${form}\``,
    )
  })

  test('over HTTP too', async () => {
    const { registry } = await byCursor('id')
    const checkpoint = encodeURIComponent('{"curser":{"id":"5"}}')
    const url = `http://localhost/_siren/connector/jobs/ingestion/a/_reset?checkpoint=${checkpoint}`
    const answer = await createJobsHandler(registry)(new Request(url, { method: 'POST' }))
    expect(answer.status).toBe(400)
    expect(await answer.text()).toContain('Did you mean `cursor`?')
  })
})

test('a job that waits in the queue is said to wait there', async () => {
  const held = heldJob({ type: 'held', id: 'b' })
  await using registry = new JobRegistry({ storage: memoryStorage(), concurrency: 1 })
  registry.define(held.job)
  registry.define({
    id: 'a',
    datasource: testDatasource([{ id: 1 }]),
    cursor: 'id',
    target: collectingTarget({ strategy: 'replace' }),
  })
  await registry.start('held', 'b')
  const { finished } = await registry.start('ingestion', 'a')
  const message = 'Job [ingestion/a] is already waiting in the queue.'
  const refused = { code: 'already_running', message }
  await expect(registry.reset('ingestion', 'a')).rejects.toMatchObject(refused)
  await expect(registry.start('ingestion', 'a')).rejects.toMatchObject(refused)
  await expect(registry.start('ingestion', 'a', { fullRefresh: true })).rejects.toMatchObject(refused)
  await expect(registry.reset('held', 'b')).rejects.toThrow('Job [held/b] is already running.')
  held.finish()
  await finished
})
