import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type IngestionJob, JobRegistry } from 'headgate'
import type { RecordBatch } from 'headgate/adapter'
import { iterableDatasource } from 'headgate/iterable'
import { ndjsonFile } from 'headgate/ndjson'
import { postgresDatasource, postgresStorage, postgresTarget } from 'headgate/postgres'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { newExecutionId } from '../../../src/core/base/ids.js'
import { describePostgres } from '../../support/describe-postgres.js'

type Json = Record<string, unknown>

/** What is put in the place of a field, by its path, and a part of the message that tells of it. */
type Damage = readonly [path: string, value: unknown, message: string]

const long = 'x'.repeat(8193)
/** Stands for a field that is not there. */
const absent = 'nothing'
/** Stands for arrays nested 5,000 deep, which a title could not show. */
const deep = 'arrays, 5,000 deep'
const rejectsAll = [null, 1, -1, 1.5, 'x', '', true, [], {}, ['x'], { length: 1 }]

/** Damages of what every checkpoint has. */
const common: Damage[] = [
  ...[null, 1, '', 'x', [], {}, long].map((value): Damage => ['origin', value, 'checkpoint.origin']),
  ...[null, -1, 1.5, '1', 2 ** 60, [], {}].map((value): Damage => ['sequence', value, 'checkpoint.sequence']),
  ...[null, 1, true, [], {}, long].map((value): Damage => ['lastId', value, 'checkpoint.lastId']),
  ...[1, {}, long].map((value): Damage => ['maxPrimaryKey', value, 'checkpoint.maxPrimaryKey']),
  ...[1, '', 'now', {}, long].map((value): Damage => ['lastRecordTimestamp', value, 'checkpoint.lastRecordTimestamp']),
  ...[1, 'x', {}, [[]], [{}]].map((value): Damage => ['lastRecord', value, 'checkpoint.lastRecord']),
  ...[1, 'x', {}, [1], ['a', 'a'], Array.from({ length: 300 }, (_, n) => String(n))].map(
    (value): Damage => ['bounds', value, 'checkpoint.bounds'],
  ),
  ...[1, true, '', 'x'].map((value): Damage => ['scheme', value, 'checkpoint.scheme']),
  ...[1, [], { from: 1 }, { until: {} }, { from: long }].map((value): Damage => ['range', value, 'checkpoint.range']),
  ...[1, 'x', [], true].map((value): Damage => ['', value, '`checkpoint` to be an object']),
  ...['lastRecord', 'position', 'deadLetters', 'cursor', 'other'].map((path): Damage => [path, deep, 'nested']),
]

const schemes: Damage[] = [
  ...[1, [], {}].map((value): Damage => ['scheme', value, 'checkpoint.scheme']),
  ...[null, 1, '', 'x'].map((value): Damage => ['scheme.id', value, 'checkpoint.scheme.id']),
  ...[null, 1, 'x', {}, [1], ['5', '5']].map((value): Damage => ['scheme.bounds', value, 'checkpoint.scheme.bounds']),
  ['scheme.bounds', ['7', '5'], 'checkpoint.scheme.bounds'],
  ['scheme.bounds', ["5'; select 1; --"], 'checkpoint.scheme.bounds'],
  ['scheme.position', {}, 'checkpoint.scheme.position'],
  ...[1, [], {}].map((value): Damage => ['scheme.snapshot', value, 'checkpoint.scheme.snapshot']),
  ...[1, 'x', null].map((value): Damage => ['scheme.isResumed', value, 'checkpoint.scheme.isResumed']),
  ...[null, 1, 'x', {}].map((value): Damage => ['scheme.counted', value, 'checkpoint.scheme.counted']),
  ...[1, 'x', {}, []].map((value): Damage => ['scheme.counted', [null, value], 'checkpoint.scheme.counted[1]']),
]

/** The position of a record in the order of `id`. */
const recordAt = (id: string) => ({ columns: ['id'], values: [id], ties: 'refuse' })

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
  [`${after}.values.0`, '9'.repeat(30), 'values of the cursor columns'],
  ['cursor', {}, after],
  [after, absent, after],
  ['sequence', 0, 'checkpoint.cursor'],
  ...[null, 1, 'x', {}].map((value): Damage => ['cursor.order', value, 'cursor.order']),
  ['cursor.order', [1], 'cursor.order[0]'],
  ['cursor.order', [{}], 'cursor.order[0].type'],
  ['cursor.order.0.digits', 'x', 'cursor.order[0].digits'],
  ['cursor.order.0.source', 1, 'cursor.order[0].source'],
  ...[null, 1, 'x', {}].map((value): Damage => [`${after}.ties`, value, `${after}.ties`]),
  ...[null, 1, 'x', {}, [], [{}]].map((value): Damage => ['cursor.ranges', value, 'cursor.ranges']),
  ['cursor.ranges', [1, {}], 'cursor.ranges[0]'],
  ['cursor.ranges', [{}, {}], 'cursor.ranges[0].until'],
  ['cursor.ranges', [{ until: '5' }, { until: '7' }], 'cursor.ranges[1].until'],
  ['cursor.ranges', [{ until: '7' }, { until: '5' }, {}], 'in the order of the cursor'],
  ['cursor.ranges', [{ until: '5' }, {}], '`cursor.after` to be in the range'],
  ['cursor', { after: recordAt('2'), ranges: [{ until: '5', at: recordAt('5') }, {}] }, 'cursor.ranges[0].at'],
  ['cursor', { after: recordAt('2'), ranges: [{ until: '5' }, { at: recordAt('4') }] }, 'cursor.ranges[1].at'],
  [
    'cursor',
    { after: recordAt('2'), ranges: [{ until: '5' }, { until: '7', at: recordAt('8') }, {}] },
    'cursor.ranges[1].at',
  ],
  ['cursor.ranges', [{ until: '9'.repeat(30) }, {}], 'values of the cursor columns'],
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
    (await pool.query('select checkpoint from stored.job where id = $1 and partition is null', [id])).rows[0]
      .checkpoint as Json
  const store = (id: string, checkpoint: unknown, partition: number | null = null) =>
    pool.query('update stored.job set checkpoint = $2 where id = $1 and partition is not distinct from $3', [
      id,
      jsonOf(checkpoint),
      partition,
    ])
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
    expect(errors).not.toMatch(/TypeError|RangeError|undefined|is not (?:a|an|iterable|defined)\b/)
    expect(errors).toMatch(/call `reset`/)
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

    it('starts from the beginning after a reset', async () => {
      await store(id, damagedBy(checkpoint, damages[0] as Damage))
      await registry.reset('ingestion', id)
      expect(await run(id)).toMatchObject({ state: 'successful', count: 9 })
    })
  })

  describe('in storage, of a job by a template', () => {
    const last = { last_id: 'lastId', max_primary_key: 'maxPrimaryKey', last_record_timestamp: 'lastRecordTimestamp' }
    const damages: [variable: string, ...Damage][] = [
      ...Object.entries(last).map(([name, field]): [string, ...Damage] => [name, field, absent, `no \`${name}\``]),
      ['last_id', 'lastId', 'x', 'does not fit the query'],
      ['last_id', 'lastId', '9'.repeat(30), 'does not fit the query'],
      ['last_record', 'lastRecord', absent, 'no `last_record`'],
      ['last_record', 'lastRecord', [], 'no `last_record`'],
      ['last_record', 'lastRecord', ['x'], 'does not fit the query'],
      ['last_record.0', 'lastRecord', [], 'no `last_record'],
    ]
    it.each(damages)('with %s, %s = %j', async (variable, ...damage) => {
      const id = `template of ${variable}, ${damage[1]}`
      const [name] = variable.split('.') as [string]
      const value = name === 'last_record' ? '{{last_record.0}}' : `{{${name}}}`
      const column = name === 'last_record_timestamp' ? 'now()' : 'id'
      define(id, {
        query: `select id from source {{#${variable}}}where ${column} > ${value}{{/${variable}}} order by id`,
        pkField: 'id',
      })
      expect(await run(id)).toMatchObject({ state: 'successful' })
      const checkpoint = await stored(id)
      await store(id, damagedBy(checkpoint, damage))
      await fails(id, damage)
      await store(id, checkpoint)
      expect(await run(id)).toMatchObject({ state: 'successful' })
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
      ...[null, -1, '1', 1.5].map((value): Damage => ['read', value, 'checkpoint.read']),
      ['failed', -1, 'checkpoint.failed'],
      ['skipped', [], 'checkpoint.skipped'],
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

    it('starts from the beginning after a reset', async () => {
      await keep('kept', damagedBy(checkpoint, damages[0] as Damage))
      await pool.query('truncate copy')
      await registry.reset('ingestion', 'kept')
      expect(await run('kept')).toMatchObject({ state: 'successful', count: 9 })
    })
  })

  describe('in storage, of a job in parts', () => {
    const id = newExecutionId('parts', Date.now())
    const scheme = { id, bounds: ['4', '7'], isResumed: false }
    beforeAll(async () => {
      define('parts', { query: 'select id from source', cursor: 'id', partitions: 3 })
      expect(await run('parts')).toMatchObject({ state: 'successful', count: 9 })
    })

    it.each([...schemes, ...common.filter(([path]) => path !== 'scheme')])('%s = %j', async (...damage) => {
      await store('parts', damagedBy({ origin: id, sequence: 0, scheme }, damage))
      await fails('parts', damage)
    })

    describe('that stopped', () => {
      let before: { partition: number | null; checkpoint: Json }[]
      beforeAll(async () => {
        let isFailing = true
        const target = async (batch: RecordBatch) => {
          if (isFailing && batch.records().some(({ id }) => String(id) === '8')) throw new Error('It fails.')
          read.push(...batch.records())
        }
        define('stopped', {
          query: 'select id from source',
          cursor: 'id',
          partitions: ['4', '7'],
          batchSize: 1,
          target,
        })
        expect(await run('stopped')).toMatchObject({ state: 'error' })
        isFailing = false
        const { rows } = await pool.query(`select partition, checkpoint from stored.job where id = 'stopped'`)
        before = rows
      })
      const checkpointOf = (partition: number | null) =>
        before.find((row) => row.partition === partition)?.checkpoint as Json

      const ofParts: [partition: number | null, ...Damage][] = [
        [null, 'scheme.bounds', [], 'more partitions than it has bounds for'],
        [null, 'scheme.bounds', ['4'], 'more partitions than it has bounds for'],
        [null, 'scheme.bounds', ['5', '7'], 'checkpoint.range'],
        [0, 'range', { until: '5' }, 'checkpoint.range'],
        [0, 'range', {}, 'checkpoint.range'],
        [0, 'scheme', absent, 'checkpoint.scheme'],
        [0, 'scheme', 'x', 'checkpoint.scheme'],
        [2, 'cursor', { order: [] }, 'cursor.after'],
        [2, 'cursor', absent, 'made without `cursor`'],
        [2, 'cursor.after.values.0', '9'.repeat(30), 'values of the cursor columns'],
      ]
      it.each(ofParts)('%s: %s = %j', async (partition, ...damage) => {
        for (const row of before) await store('stopped', row.checkpoint, row.partition)
        await store('stopped', damagedBy(checkpointOf(partition), damage), partition)
        read = []
        const status = await run('stopped')
        expect(status).toMatchObject({ state: 'error' })
        const errors = (status as { error: string[] }).error.join(' ')
        expect(errors).toContain(damage[2])
        expect(errors).toMatch(/call `reset`/)
        // What the datasource alone knows shows when it reads: sound partitions may have begun.
        if (!['cursor.after', 'values of the cursor columns'].includes(damage[2])) expect(read).toEqual([])
      })
    })

    it('runs no SQL of a snapshot, and takes the sound one', async () => {
      await pool.query('create table precious as select 1')
      await pool.query(`create function stored.tamper() returns trigger language plpgsql as $$ begin
        if new.checkpoint::jsonb ? 'scheme' and jsonb_typeof(new.checkpoint::jsonb -> 'scheme') = 'object' then
          new.checkpoint := jsonb_set(new.checkpoint::jsonb, '{scheme,snapshot}', to_jsonb('1-1''; rollback; drop table precious; begin; --'::text))::json;
        end if; return new; end $$;
        create trigger tamper before insert or update on stored.job for each row execute function stored.tamper()`)
      await store('parts', { origin: id, sequence: 0 })
      const status = await run('parts')
      await pool.query('drop trigger tamper on stored.job')
      expect(status).toMatchObject({ state: 'error' })
      expect((status as { error: string[] }).error.join(' ')).toContain(
        'Expected `snapshot` to be the name of a snapshot',
      )
      expect((await pool.query('select from precious')).rowCount).toBe(1)
      await store('parts', { origin: id, sequence: 0 })
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
  // Whoever changes a checkpoint on purpose removes the count of its fields.
  const { fields: _, ...copy } = structuredClone(checkpoint)
  const names = path.split('.')
  let at: Json = copy
  for (const name of names.slice(0, -1)) at = at[name] as Json
  if (value === absent) delete at[names.at(-1) as string]
  else at[names.at(-1) as string] = value
  return copy
}
