import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type IngestionJob, JobRegistry } from 'headgate'
import { iterableDatasource } from 'headgate/datasource/iterable'
import { postgresDatasource } from 'headgate/datasource/postgres'
import { postgresStorage } from 'headgate/storage/postgres'
import { ndjsonFile } from 'headgate/target/ndjson-file'
import { postgresTarget } from 'headgate/target/postgres'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { describePostgres } from '../support/describe-postgres.js'

type Json = Record<string, unknown>

/** What is put in the place of a field, by its path, and a part of the message that tells of it. */
type Damage = readonly [path: string, value: unknown, message: string]

const long = 'x'.repeat(8193)
/** Stands for arrays nested 5,000 deep, which a title could not show. */
const deep = 'arrays, 5,000 deep'
const rejectsAll = [null, 1, -1, 1.5, 'x', '', true, [], {}, ['x'], { length: 1 }]

/** Damages of what every checkpoint has. */
const common: Damage[] = [
  ...[null, 1, '', [], {}, long].map((value): Damage => ['origin', value, 'checkpoint.origin']),
  ...[null, -1, 1.5, '1', 2 ** 60, [], {}].map((value): Damage => ['sequence', value, 'checkpoint.sequence']),
  ...[null, 1, true, [], {}, long].map((value): Damage => ['lastId', value, 'checkpoint.lastId']),
  ...[1, {}, long].map((value): Damage => ['maxPrimaryKey', value, 'checkpoint.maxPrimaryKey']),
  ...[1, '', 'now', {}, long].map((value): Damage => ['lastRecordTimestamp', value, 'checkpoint.lastRecordTimestamp']),
  ...[1, 'x', {}, [[]], [{}]].map((value): Damage => ['lastRecord', value, 'checkpoint.lastRecord']),
  ...[1, 'x', {}, [1], ['a', 'a'], Array.from({ length: 300 }, (_, n) => String(n))].map(
    (value): Damage => ['bounds', value, 'checkpoint.bounds'],
  ),
  ...[1, true, ''].map((value): Damage => ['scheme', value, 'checkpoint.scheme']),
  ...[1, [], { from: 1 }, { until: {} }, { from: long }].map((value): Damage => ['range', value, 'checkpoint.range']),
  ...[1, 'x', [], true].map((value): Damage => ['', value, '`checkpoint` to be an object']),
  ...['lastRecord', 'position', 'deadLetters', 'cursor', 'other'].map((path): Damage => [path, deep, 'nested']),
]

const schemes: Damage[] = [
  ...[1, [], {}].map((value): Damage => ['scheme', value, 'checkpoint.scheme']),
  ...[null, 1, ''].map((value): Damage => ['scheme.id', value, 'checkpoint.scheme.id']),
  ...[null, 1, 'x', {}, [1], ['5', '5']].map((value): Damage => ['scheme.bounds', value, 'checkpoint.scheme.bounds']),
  ['scheme.bounds', ['7', '5'], 'checkpoint.scheme.bounds'],
  ['scheme.bounds', ["5'; select 1; --"], 'invalid input syntax'],
  ...[1, [], {}].map((value): Damage => ['scheme.snapshot', value, 'checkpoint.scheme.snapshot']),
  ...[1, 'x', null].map((value): Damage => ['scheme.isResumed', value, 'checkpoint.scheme.isResumed']),
]

const after = 'cursor.after'
const positions: Damage[] = [
  ...[null, 1, 'x', [], true].map((value): Damage => ['cursor', value, '`cursor` to be an object']),
  ...[1, 'x', [], null].map((value): Damage => [after, value, '`cursor.after` to be an object']),
  ...rejectsAll
    .filter((value) => String(value) !== 'x')
    .map((value): Damage => [`${after}.columns`, value, `${after}.columns`]),
  ...[null, 1, 'x', [], ['1', '2'], {}].map((value): Damage => [`${after}.values`, value, `${after}.values`]),
  ...[null, 1, 'x', '', '1; drop table source', '1e3', [], {}].map(
    (value): Damage => [`${after}.values.0`, value, `${after}.values[0]`],
  ),
  [`${after}.values.0`, '9'.repeat(30), 'out of range'],
  ...[null, 1, 'x', {}].map((value): Damage => [`${after}.ties`, value, `${after}.ties`]),
  ...[null, 1, 'x', {}, [], [{}]].map((value): Damage => ['cursor.ranges', value, 'cursor.ranges']),
  ['cursor.ranges', [1, {}], 'cursor.ranges[0]'],
  ['cursor.ranges', [{}, {}], 'cursor.ranges[0].until'],
  ['cursor.ranges', [{ until: '5' }, { until: '7' }], 'cursor.ranges[1].until'],
  ['cursor.ranges', [{ until: '7' }, { until: '5' }, {}], 'in the order of the cursor'],
  ['cursor.ranges', [{ until: '5', at: 1 }, {}], 'cursor.ranges[0].at'],
  ['cursor.ranges', [{ until: '5', isRead: 'x' }, {}], 'cursor.ranges[0].isRead'],
  ['cursor.ranges', [{ until: '5' }, { isRead: true }], 'cursor.ranges[1].isRead'],
]

describePostgres('a damaged checkpoint', (database) => {
  let pool: pg.Pool
  let registry: JobRegistry
  let folder: string
  let read: unknown[] = []

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'headgate-'))
    pool = new pg.Pool({ connectionString: database.url })
    pool.on('error', () => undefined)
    await pool.query(
      'create table source as select id from generate_series(1::int8, 9) id; create table copy (id int8)',
    )
    registry = new JobRegistry({
      storage: postgresStorage({ pool, schema: 'stored' }),
      datasources: { postgres: postgresDatasource({ pool }) },
      progressInterval: 0,
    })
  })
  afterAll(async () => {
    await registry.close()
    await pool.end()
    await rm(folder, { recursive: true })
  })

  const run = async (id: string) => (await registry.start('ingestion', id)).finished
  const define = (id: string, job: Partial<IngestionJob>) =>
    registry.define({
      datasource: 'postgres',
      batchSize: 2,
      target: (batch) => void read.push(...batch.records()),
      ...job,
      id,
    } as IngestionJob)

  const stored = async (id: string) =>
    (await pool.query('select checkpoint from stored.job where id = $1', [id])).rows[0].checkpoint as Json
  const store = (id: string, checkpoint: unknown) =>
    pool.query('update stored.job set checkpoint = $2 where id = $1', [id, jsonOf(checkpoint)])
  const kept = async (id: string) =>
    (await pool.query('select checkpoint from headgate_checkpoint where id = $1', [id])).rows[0].checkpoint as Json
  const keep = (id: string, checkpoint: unknown) =>
    pool.query('update headgate_checkpoint set checkpoint = $2 where id = $1', [id, jsonOf(checkpoint)])

  /** Runs a job from a damaged checkpoint, and expects that it fails, says why, and writes nothing. */
  const fails = async (id: string, [, , message]: Damage) => {
    read = []
    const status = await run(id)
    expect(status).toMatchObject({ state: 'error', count: 0 })
    const errors = (status as { error: string[] }).error.join(' ')
    expect(errors).toContain(message)
    expect(errors).not.toMatch(/TypeError|RangeError|undefined|is not/)
    if (!/invalid input|out of range/.test(message)) expect(errors).toMatch(/resume: 'restart'/)
    expect(read).toEqual([])
  }

  describe.each(['iterable', 'cursor', 'ndjson'])('in storage, of a job: %s', (id) => {
    let checkpoint: Json
    beforeAll(async () => {
      if (id === 'iterable') {
        const datasource = iterableDatasource(
          ({ lastId = '0' }) => people.filter((record) => record.id > Number(lastId)),
          { resumes: true },
        )
        define(id, { datasource, pkField: 'id' })
      } else if (id === 'cursor') define(id, { query: 'select id from source', cursor: 'id' })
      else
        define(id, {
          query: 'select id from source',
          cursor: 'id',
          target: ndjsonFile({ path: join(folder, 'a'), strategy: 'append' }),
        })
      expect(await run(id)).toMatchObject({ state: 'successful', count: 9 })
      checkpoint = await stored(id)
    })

    const position: Damage[] = [1, 'x', true, { bytes: -1 }, { bytes: '5' }, { bytes: null }, { bytes: 1.5 }].map(
      (value) => ['position', value, 'position.bytes'],
    )
    const damages = [...common, ...(id === 'iterable' ? [] : positions), ...(id === 'ndjson' ? position : [])]
    it.each(damages)('%s = %j', async (...damage) => {
      await store(id, damagedBy(checkpoint, damage))
      await fails(id, damage)
    })

    it('resumes from the sound one again', async () => {
      await store(id, checkpoint)
      expect(await run(id)).toMatchObject({ state: 'successful', count: 0 })
      if (id === 'ndjson') expect((await readFile(join(folder, 'a'), 'utf8')).split('\n')).toHaveLength(10)
    })
  })

  describe('in the target', () => {
    let checkpoint: Json
    beforeAll(async () => {
      define('kept', { query: 'select id from source', cursor: 'id', target: postgresTarget({ pool, table: 'copy' }) })
      expect(await run('kept')).toMatchObject({ state: 'successful', count: 9 })
      checkpoint = await kept('kept')
    })

    const own: Damage[] = [
      ...[null, 1, ''].map((value): Damage => ['executionId', value, 'checkpoint.executionId']),
      ...[null, 1, [], {}].map((value): Damage => ['detail', value, 'checkpoint.detail']),
      ...[null, -1, '1', 1.5].map((value): Damage => ['detail.read', value, 'checkpoint.detail.read']),
      ['detail.consistency', 'x', 'checkpoint.detail.consistency'],
    ]
    const damages = [...common, ...positions, ...own].filter(([path]) => path !== 'scheme')
    it.each(damages)('%s = %j', async (...damage) => {
      await keep('kept', damagedBy(checkpoint, damage))
      await fails('kept', damage)
      expect((await pool.query('select from copy')).rowCount).toBe(9)
    })

    it('resumes from the sound one again', async () => {
      await keep('kept', checkpoint)
      expect(await run('kept')).toMatchObject({ state: 'successful', count: 0 })
    })
  })

  describe('in storage, of a job in parts', () => {
    const scheme = { id: 'another', bounds: ['4', '7'], isResumed: false }
    beforeAll(async () => {
      define('parts', { query: 'select id from source', cursor: 'id', partitions: 3 })
      expect(await run('parts')).toMatchObject({ state: 'successful', count: 9 })
    })

    it.each([...schemes, ...common.filter(([path]) => path !== 'scheme')])('%s = %j', async (...damage) => {
      await store('parts', damagedBy({ origin: 'x', sequence: 0, scheme }, damage))
      await fails('parts', damage)
    })

    it('runs no SQL of a snapshot, and takes the sound one', async () => {
      await pool.query('create table precious as select 1')
      await pool.query(`create function stored.tamper() returns trigger language plpgsql as $$ begin
        if new.checkpoint::jsonb ? 'scheme' and jsonb_typeof(new.checkpoint::jsonb -> 'scheme') = 'object' then
          new.checkpoint := jsonb_set(new.checkpoint::jsonb, '{scheme,snapshot}', to_jsonb('1-1''; rollback; drop table precious; begin; --'::text))::json;
        end if; return new; end $$;
        create trigger tamper before insert or update on stored.job for each row execute function stored.tamper()`)
      await store('parts', { origin: 'x', sequence: 0 })
      const status = await run('parts')
      await pool.query('drop trigger tamper on stored.job')
      expect(status).toMatchObject({ state: 'error' })
      expect((status as { error: string[] }).error.join(' ')).toContain(
        'Expected `snapshot` to be the name of a snapshot',
      )
      expect((await pool.query('select from precious')).rowCount).toBe(1)
      await store('parts', { origin: 'x', sequence: 0 })
      expect(await run('parts')).toMatchObject({ state: 'successful', count: 9 })
    })
  })
})

const people = Array.from({ length: 9 }, (_, index) => ({ id: index + 1 }))

function jsonOf(value: unknown): string {
  return JSON.stringify(value).replace(JSON.stringify(deep), '['.repeat(5000) + ']'.repeat(5000))
}

/** A checkpoint with another value at a path. */
function damagedBy(checkpoint: Json, [path, value]: Damage): unknown {
  if (path === '') return value
  const copy = structuredClone(checkpoint)
  const names = path.split('.')
  let at = copy
  for (const name of names.slice(0, -1)) at = at[name] as Json
  at[names.at(-1) as string] = value
  return copy
}
