import { type Datasource, type IngestionJob, type JobRecord, JobRegistry, memoryStorage, type Target } from 'headgate'
import { type Column, RecordBatch, type TargetWriter } from 'headgate/adapter'
import { iterableDatasource } from 'headgate/iterable'
import { testDatasource } from 'headgate/testing'
import { describe, expect, it } from 'vitest'

const columns: readonly Column[] = [
  { name: 'id', type: 'integer', decode: Number },
  { name: 'name', type: 'text' },
]
const empty = testDatasource({ columns, rows: [] })

/** Runs a job once. Returns how it ended, and what it called of the writer, without the flush at the beginning of a job with a cursor. */
async function calls(
  job: Partial<IngestionJob>,
  more: Partial<TargetWriter> = {},
  capabilities: Target['capabilities'] = {},
): Promise<{ state: string; error: string; called: string[] }> {
  const called: string[] = []
  const note = (name: string) => async () => void called.push(name)
  const writer: TargetWriter = {
    write: note('write'),
    truncate: note('truncate'),
    flush: note('flush'),
    commit: note('commit'),
    abort: note('abort'),
    createEmpty: async (columns) => void called.push(`createEmpty ${columns.map(({ name }) => name)}`),
    ...more,
  }
  const target: Target = { kind: 'noting', capabilities, open: () => ({ writer }) }
  await using registry = new JobRegistry({ storage: memoryStorage() })
  registry.define({ id: 'a', datasource: empty, query: 'all', target, ...job } as IngestionJob)
  const fullRefresh = capabilities.onFullRefresh !== undefined
  const status = await (await registry.start('ingestion', 'a', { fullRefresh })).finished
  const error = status.state === 'error' ? status.error.join('\n') : ''
  return { state: status.state, error, called: job.cursor ? called.slice(1) : called }
}

const created = ['createEmpty id,name', 'flush', 'commit']

describe('a target without records', () => {
  it.each<[string, Partial<IngestionJob>]>([
    ['reads everything', {}],
    ['reads by a cursor', { cursor: 'id' }],
    ['reads in parallel', { cursor: { columns: 'id', consistency: 'snapshot' }, parallel: 2 }],
    ['may set records aside', { failures: { total: 1 } }],
    [
      'has dead letters',
      { failures: { total: 1, deadLetters: { kind: 'dead', open: () => ({ writer: { write() {} } }) } } },
    ],
  ])('is created by a job that %s, before the last flush', async (_, job) => {
    expect(await calls(job, {}, { writesAtomically: true })).toEqual({
      state: 'successful',
      error: '',
      called: created,
    })
  })

  it('is created after a full refresh has removed the records of earlier runs', async () => {
    expect(await calls({ cursor: 'id' }, {}, { onFullRefresh: 'truncate' })).toMatchObject({
      state: 'successful',
      called: ['truncate', ...created],
    })
  })

  it.each<[string, Partial<IngestionJob>]>([
    ['has a transform', { transform: (record) => record }],
    ['has a transform of batches', { transformBatch: (batch) => batch.records() }],
    [
      'has a schema',
      { schema: { '~standard': { version: 1, vendor: 'a', validate: (value) => ({ value: value as JobRecord }) } } },
    ],
    ['reads from what tells no columns', { datasource: iterableDatasource([]) }],
  ])('is not created by a job that %s', async (_, job) => {
    expect(await calls(job)).toEqual({ state: 'successful', error: '', called: ['flush', 'commit'] })
  })

  it('is not created after a record', async () => {
    const datasource = testDatasource({ columns, rows: [['1', 'a']] })
    expect(await calls({ datasource })).toMatchObject({ called: ['write', 'flush', 'commit'] })
  })

  it('is not created by a read that fails, although its columns were known', async () => {
    const datasource = testDatasource({ columns, rows: [] }, { failAfter: 0 })
    const { state, called } = await calls({ datasource })
    expect([state, called.filter((name) => name.startsWith('createEmpty'))]).toEqual(['error', []])
  })

  it('that creates nothing is left alone', async () => {
    const more = { createEmpty: undefined } as unknown as Partial<TargetWriter>
    expect(await calls({}, more)).toMatchObject({ state: 'successful', called: ['flush', 'commit'] })
  })
})

describe('is named in the error', () => {
  it.each<[string, () => unknown, string]>([
    ['rejects', () => Promise.reject(new Error('no')), 'no'],
    ['throws what is no error', () => { throw undefined }, 'createEmpty'], // biome-ignore format: one line
    ['returns a list of promises', () => [Promise.reject(new Error('no'))], 'createEmpty() of the target'],
  ])('a target whose `createEmpty` %s', async (_, createEmpty, message) => {
    const { state, error } = await calls({}, { createEmpty: createEmpty as never })
    expect([state, error]).toEqual(['error', expect.stringContaining('Could not write to target [noting].')])
    expect(error).toContain(message)
  })

  it('a target whose `createEmpty` is no function', async () => {
    const { error } = await calls({}, { createEmpty: 1 as never })
    expect(error).toContain('a writer whose `createEmpty` is a function, got `1` (number)')
  })

  it.each([undefined, 'id', [null], [{ type: 'text' }]])('a datasource that tells the columns %j', async (told) => {
    const datasource: Datasource = {
      kind: 'odd',
      async *read(_, { onColumns }) {
        onColumns?.(told as never)
        yield RecordBatch.fromRecords([])
      },
    }
    const { state, error } = await calls({ datasource })
    expect([state, error]).toEqual(['error', expect.stringContaining('Could not execute datasource query [odd].')])
    expect(error).toContain('Expected `columns` to be an array of columns, each with a `name`')
  })
})
