import { type Datasource, errorMessages, JobError, type JobRecord } from 'headgate'
import type { ReadCursor } from 'headgate/adapter'
import { postgresDatasource } from 'headgate/postgres'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { allRecords, batchesByCursor, cursorBy, type PlacedBatch, rejectionOf } from './datasource-read.js'
import { untilTrue } from './datasource-server.js'

describePostgres('a table that others change beside a read', (database) => {
  let pool: pg.Pool
  let other: pg.Client
  let datasource: Datasource
  beforeAll(async () => {
    pool = new pg.Pool({ connectionString: database.url })
    other = new pg.Client(database.url)
    await other.connect()
    datasource = postgresDatasource({ pool })
  })
  afterAll(async () => {
    await other.end()
    await pool.end()
  })
  beforeEach(() =>
    other.query(`drop table if exists source, swapped cascade; create table source (id int primary key, a text, b text);
      insert into source select n, 'a' || n, 'b' || n from generate_series(1, 8) n`),
  )

  interface Reading extends Partial<ReadCursor> {
    text?: string
    by?: string | string[]
  }
  const read = ({ text = 'select * from source', by = 'id', ...cursor }: Reading = {}) =>
    batchesByCursor(
      datasource,
      { text, values: [] },
      { signal: new AbortController().signal, batchSize: 2, cursor: cursorBy(by, cursor) },
    )

  async function rest(batches: AsyncIterator<PlacedBatch>): Promise<PlacedBatch[]> {
    const all: PlacedBatch[] = []
    for (let next = await batches.next(); !next.done; next = await batches.next()) all.push(next.value)
    return all
  }
  const recordsOf = (batches: readonly PlacedBatch[]): JobRecord[] => batches.flatMap((batch) => batch.records())
  const failureOf = async (batches: AsyncIterator<PlacedBatch>) => {
    const error = await rejectionOf(rest(batches))
    return { error, message: errorMessages(error).join(' ') }
  }

  describe('by pages', () => {
    test.each([
      ['alter table source drop a', '`a` is gone'],
      ['alter table source drop a; alter table source add c text', '`a` is gone'],
      ['alter table source add c text', '`c` is new'],
      ['alter table source alter a type varchar(9)', '`a` has another type'],
      ['alter table source rename b to bb', '`b` is gone'],
      ['alter table source drop a; alter table source add a text', 'they are in another order'],
    ])('fails, and says why: %s', async (change, message) => {
      const batches = read({ consistency: 'pages' })
      const first = (await batches.next()).value as PlacedBatch
      await other.query(change)
      const { error, message: got } = await failureOf(batches)
      expect(got).toContain(`The columns of the query have changed while it was read: ${message}.`)
      expect(JobError.isInstance(error) && error.isTransient).toBe(true)
      // The next run goes on with what is there then.
      const records = recordsOf(await rest(read({ consistency: 'pages', position: first.position })))
      const { rows } = await pool.query('select * from source where id > 2 order by id')
      expect(records).toEqual(rows)
    })

    test('fails where a composite type is another one, as values of it are told by place', async () => {
      await other.query(`drop type if exists pair cascade; create type pair as (a text, b text);
        alter table source add c pair[]; update source set c = array[row(a, b)::pair]`)
      const batches = read({ consistency: 'pages' })
      await batches.next()
      await other.query('alter type pair drop attribute a, add attribute c text')
      const { error, message } = await failureOf(batches)
      expect(message).toContain('while it was read: the attributes of a composite type differ.')
      expect(JobError.isInstance(error) && error.isTransient).toBe(true)
    })

    test('goes on in a table that another one was put in the place of', async () => {
      const batches = read({ consistency: 'pages' })
      await batches.next()
      await other.query(`create table swapped (like source including all); insert into swapped table source;
        drop table source; alter table swapped rename to source`)
      expect(recordsOf(await rest(batches)).map(({ id }) => id)).toEqual([3, 4, 5, 6, 7, 8])
    })
  })

  describe('as it begins', () => {
    const reload = 'truncate source; insert into source select n, null, null from generate_series(1, 100) n'
    const changes = [
      ['emptied and filled', reload],
      ['rewritten', 'alter table source alter id type bigint; insert into source select generate_series(9, 100)'],
      [
        'replaced by another one',
        `create table swapped (like source); insert into swapped select generate_series(1, 100);
          drop table source; alter table swapped rename to source`,
      ],
      ['emptied under a view', `create view above as table source; ${reload}`, 'select * from above'],
    ] as const
    const readings: readonly [string, Partial<ReadCursor> | undefined][] = [
      ['without a cursor', undefined],
      ['in one statement', {}],
      ['in pages of one moment', { consistency: 'snapshot' }],
      ['in pages', { consistency: 'pages' }],
      ['side by side', { parallel: 3, consistency: 'snapshot' }],
    ]
    const cases = changes.flatMap((change) => readings.map((reading) => [change, reading] as const))

    test.each(cases)('is read as it is then: %j, %j', async ([, change, text = 'select * from source'], [, cursor]) => {
      if (text.includes('above')) await other.query('create view above as table source')
      await other.query(`begin; ${change.replace('create view above as table source;', '')}`)
      const reading = cursor
        ? rest(read({ text, ...cursor })).then(recordsOf)
        : allRecords(datasource, { text, values: [] })
      await untilWaiting()
      await other.query('commit')
      expect((await reading).length).toBe(100)
    })

    test('also where it is one of the tables below a partitioned one', async () => {
      await other.query(`drop table source; create table source (id int) partition by range (id);
        create table low partition of source for values from (0) to (50);
        create table high partition of source for values from (50) to (1000);
        insert into source select generate_series(1, 100)`)
      await other.query('begin; truncate high; insert into high select generate_series(50, 100)')
      const reading = rest(read())
      await untilWaiting()
      await other.query('commit')
      expect(recordsOf(await reading)).toHaveLength(100)
    })

    test('and where it is cut into parts', async () => {
      await other.query(`begin; ${reload}`)
      const { signal } = new AbortController()
      const cutting = datasource.partition?.(
        { text: 'select * from source', values: [] },
        { signal, split: 2, cursor: cursorBy('id') },
      )
      await untilWaiting()
      await other.query('commit')
      const partitioning = await cutting
      expect(partitioning?.bounds).toEqual(['51'])
      await partitioning?.release()
    })

    test('but not for ever, where it is emptied again and again', async () => {
      const stale = new pg.Pool({ connectionString: database.url, max: 1 })
      const connect = stale.connect.bind(stale)
      let client: pg.PoolClient | undefined
      const take = async () => {
        const taken = await connect()
        client ??= emptying(taken)
        return client
      }
      const emptied = { connect: take, on: stale.on.bind(stale) }
      const reading = batchesByCursor(
        postgresDatasource({ pool: emptied as never }),
        { text: 'select * from source', values: [] },
        { signal: new AbortController().signal, batchSize: 2, cursor: cursorBy('id') },
      )
      const { message } = await failureOf(reading)
      expect(message).toContain('emptied or rewrote the tables of the query each of the 10 times')
      await stale.end()
    })

    /** Empties the table in each transaction of a client, once its snapshot is taken. */
    function emptying(client: pg.PoolClient): pg.PoolClient {
      const query = client.query.bind(client) as (...given: unknown[]) => Promise<unknown>
      return Object.assign(Object.create(client), {
        on: client.on.bind(client),
        off: client.off.bind(client),
        release: () => client.release(),
        async query(asked: unknown) {
          const answer = await query(asked)
          if (typeof asked === 'string' && asked.startsWith('begin')) {
            await query('select 1')
            await other.query('truncate source')
          }
          return answer
        },
      })
    }

    const untilWaiting = () =>
      untilTrue(
        pool,
        `exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')`,
      )
  })

  describe('between two runs', () => {
    test.each([
      ['int', 'text', 'from int4 to text'],
      ['int', 'float8', 'from int4 to float8'],
      ['bigint', 'int', 'from int8 to int4'],
      ['timestamp', 'timestamptz', 'from timestamp to timestamptz'],
      ['timestamp', 'date', 'from timestamp to date'],
      ['timestamptz', 'timestamptz(3)', 'from timestamptz with 6 digits after the point to timestamptz with 3 digits'],
      ['numeric', 'numeric(9,2)', 'from numeric without a limit of digits to numeric with 2 digits'],
      ['numeric(9,2)', 'numeric(9,1)', 'from numeric with 2 digits after the point to numeric with 1 digits'],
      ['float4', 'float8', 'from float4 to float8'],
      ['text', 'char(9)', 'from text to bpchar'],
      ['text', 'text collate "C"', /from the collation .* to C C/],
    ])('fails where the cursor compares something else: %s to %s', async (type, now, message) => {
      const position = await read1(type)
      await other.query(`alter table source alter k type ${now} using k::text::${now}`)
      const { message: got } = await failureOf(read({ by: 'k', position }))
      expect(got).toContain('The cursor column `k` has changed')
      expect(got).toMatch(message)
      expect(got).toContain('since the checkpoint was made')
    })

    test.each([
      ['smallint', 'int'],
      ['int', 'bigint'],
      ['bigint', 'numeric'],
      ['numeric(9,2)', 'numeric(12,2)'],
      ['numeric(9,1)', 'numeric'],
      ['varchar(9)', 'text'],
      ['text', 'varchar(99)'],
      ['timestamp(3)', 'timestamp'],
      ['date', 'timestamp'],
    ])('goes on where it compares the same: %s to %s', async (type, now) => {
      const position = await read1(type)
      await other.query(`alter table source alter k type ${now}`)
      expect(recordsOf(await rest(read({ by: 'k', position })))).toHaveLength(1)
    })

    test.each([
      ['select id, b as a from source', 'from public.source.a to public.source.b'],
      ['select id, a from swapped', 'from public.source.a to public.swapped.a'],
      ['select id, lower(a) as a from source', 'from public.source.a to an expression'],
      ["select id, coalesce(a, '') as a from source", 'from public.source.a to an expression'],
    ])('fails where the query gives another column: %s', async (text, message) => {
      await other.query('create table swapped (like source)')
      const [first] = await rest(read({ by: ['a', 'id'] }))
      const { message: got } = await failureOf(read({ text, by: ['a', 'id'], position: first?.position }))
      expect(got).toContain(`The cursor column \`a\` has changed ${message}`)
    })

    test('goes on where the query is another one over the same column, and where it computed one before', async () => {
      const [first] = await rest(read())
      const { position } = first as PlacedBatch
      expect(recordsOf(await rest(read({ text: 'select id from source where true', position })))).toHaveLength(6)
      const [computed] = await rest(read({ text: 'select coalesce(id, 0) as id from source' }))
      expect(computed?.position).not.toHaveProperty('order.0.source')
      for (const text of ['select id from source', 'select coalesce(id, 1) as id from source']) {
        expect(recordsOf(await rest(read({ text, position: computed?.position })))).toHaveLength(6)
      }
    })

    test('fails within ranges, and in parts, that were cut before', async () => {
      const batches = read({ parallel: 2, consistency: 'snapshot' })
      const first = (await batches.next()).value as PlacedBatch
      await batches.return(undefined)
      expect(first.position).toHaveProperty('ranges')
      const { signal } = new AbortController()
      const query = { text: 'select * from source', values: [] }
      const cut = await datasource.partition?.(query, { signal, split: 2, cursor: cursorBy('id') })
      await cut?.release()
      await other.query('alter table source alter id type text')
      const message = 'The cursor column `id` has changed from int4 to text'
      expect((await failureOf(read({ position: first.position }))).message).toContain(message)
      expect((await failureOf(read({ position: cut?.start, range: { from: '5' } }))).message).toContain(message)
      const again = datasource.partition?.(query, {
        ...{ signal, split: cut?.bounds ?? [], cursor: cursorBy('id', { position: cut?.start }) },
      })
      expect(errorMessages(await rejectionOf(again as Promise<unknown>)).join()).toContain(message)
    })

    test('goes on from a checkpoint that does not know what the columns were', async () => {
      const [first] = await rest(read())
      const { order: _, ...position } = (first as PlacedBatch).position as Record<string, unknown>
      expect(recordsOf(await rest(read({ position })))).toHaveLength(6)
    })

    /** Gives the position after the first of two rows of a type. */
    async function read1(type: string): Promise<unknown> {
      const values = /time|date/.test(type) ? ['2024-01-01', '2024-01-02'] : ['1', '2']
      await other.query(`drop table source; create table source (k ${type})`)
      await other.query(`insert into source values ('${values.join("'), ('")}')`)
      const batches = await rest(read({ by: 'k', limit: 1 }))
      return batches.at(-1)?.position
    }
  })
})
