import { type IngestionJob, JobRegistry, memoryStorage } from 'headgate'
import { mysqlDatasource } from 'headgate/mysql'
import mysql from 'mysql2/promise'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { describeMysql } from '../../support/mysql.js'
import { batchesByCursor, cursorBy } from '../postgres/datasource-read.js'

const uuidOf = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`

/** The columns of all cursor types. */
const types = {
  id: 'int',
  big: 'bigint unsigned',
  y: 'year',
  amount: 'decimal(10,2)',
  dbl: 'double',
  d: 'date',
  at: 'datetime',
  fine: 'datetime(6)',
  ts: 'timestamp(3) null',
  tm: 'time(3)',
  u: 'uuid',
  ip: 'inet6',
  raw: 'varbinary(8)',
  name: 'varchar(20) collate utf8mb4_bin',
}

describeMysql('a reset of a cursor of MySQL', (database) => {
  let pool: mysql.Pool
  beforeAll(async () => {
    pool = mysql.createPool({ uri: database.url, connectionLimit: 4 })
    const columns = Object.entries(types).map(([name, type]) => `${name} ${type}`)
    await pool.query(`create table source (${columns.join(', ')})`)
    await pool.query(`insert into source select seq, seq * 1000000000000000000, 2000 + seq, seq / 4, seq / 10, '2024-01-01' + interval seq day,
      '2024-01-01' + interval seq day, timestampadd(microsecond, seq, '2024-01-01'), timestampadd(microsecond, seq * 1000, '2024-01-01'),
      sec_to_time(seq * 60.5), concat('00000000-0000-4000-8000-', lpad(seq, 12, '0')), concat('2001:db8::', seq), unhex(lpad(seq, 4, '0')),
      concat('n', seq) from seq_1_to_9`)
  })
  afterAll(() => pool.end())

  const setup = (cursor: string | string[], query = 'select * from source') => setupOf({ cursor, query })

  async function setupOf(job: Pick<IngestionJob, 'cursor' | 'query' | 'pkField'>) {
    const storage = memoryStorage()
    const registry = new JobRegistry({ storage })
    onTestFinished(() => registry.close({ timeout: 0 }))
    registry.define({ id: 'a', datasource: mysqlDatasource({ pool }), target: () => {}, ...job })
    const run = () => registry.start('ingestion', 'a').then(({ finished }) => finished)
    const stored = async () => (await storage.find('ingestion', 'a'))?.checkpoint
    const shown = async () => (await registry.status('ingestion', 'a'))?.checkpoint as { cursor: object }
    return { run, stored, shown, reset: (checkpoint: unknown) => registry.reset('ingestion', 'a', { checkpoint }) }
  }

  test.each(Object.keys(types))(
    'takes what a status shows, what storage holds and what a record holds: %s',
    async (column) => {
      const { run, stored, shown, reset } = await setup(column)
      const { detail } = await run()
      const before = await shown()
      const text = types[column as keyof typeof types].includes('collate')
      // The order of a text depends on its collation, which the next run checks.
      if (text) expect(before).toMatchObject({ cursor: { after: { values: ['n9'] } } })
      else expect(before).toEqual({ cursor: { [column]: expect.any(String) } })
      const { position } = detail as { position: string }
      for (const checkpoint of [before, await stored(), { cursor: { [column]: position } }]) {
        await reset(checkpoint)
        expect(await run()).toMatchObject({ state: 'successful', count: 0 })
        if (!text) expect(await shown()).toEqual(before)
      }
    },
  )

  test.each(Object.keys(types))(
    'of a template takes what a status shows, and refuses another value: %s',
    async (pkField) => {
      const query = `select * from source {{#last_id}}where ${pkField} > {{last_id}}{{/last_id}} order by ${pkField}`
      const { run, stored, shown, reset } = await setupOf({ query, pkField })
      await run()
      const before = await shown()
      expect(before).toEqual({ lastId: expect.any(String) })
      await reset(before)
      expect(await shown()).toEqual(before)
      expect(await run()).toMatchObject({ state: 'successful' })
      if (pkField === 'name') return
      const kept = await stored()
      await expect(reset({ lastId: 'banana' })).rejects.toThrow(
        'Expected `checkpoint.lastId` to be the text of a value of',
      )
      expect(await stored()).toEqual(kept)
    },
  )

  test.each([
    ['at', '2024-01-05T00:00:00', 5],
    ['at', '2024-01-05T00:00:00.5', 5],
    ['at', '2024-01-05 00:00:00', 5],
    ['at', '2024-01-05', 5],
    ['at', '0000-00-00 00:00:00', 9],
    ['fine', '2024-01-01T00:00:00.000004', 5],
    ['ts', '2024-01-01T00:00:00.004Z', 5],
    ['ts', '2024-01-01T00:00:00.004', 5],
    ['ts', '2024-01-01T00:00:00Z', 9],
    ['ts', '2024-01-01 00:00:00.004+00', 5],
    ['ts', '2024-01-01T00:00:00.004+00:00', 5],
    ['tm', '00:04:02', 5],
    ['amount', '1.00', 5],
    ['u', uuidOf(4), 5],
    ['id', '-2147483648', 9],
    ['dbl', '4e-1', 5],
  ])('by %s to %s reads the %d records after it', async (column, value, count) => {
    const { run, reset } = await setup(column)
    await run()
    await reset({ cursor: { [column]: value } })
    expect(await run()).toMatchObject({ state: 'successful', count })
  })

  test.each([
    [
      'at',
      'datetime',
      [
        '2024-13-01 00:00:00',
        '2024-02-30 00:00:00',
        '2024-06-01 25:00:00',
        '2024-13-00 00:00:00',
        '2024-01-05T00:00:00Z',
        'x',
      ],
    ],
    ['d', 'date', ['2024-13-01', '2024-02-30', '2024-06-01T00:00:00Z']],
    [
      'ts',
      'timestamp',
      ['2024-13-01 00:00:00', '2024-02-30T00:00:00Z', '1960-01-01 00:00:00', '2024-01-01T00:00:00+02:00'],
    ],
    ['tm', 'time', ['99:99:99', '24:61:00', '900:00:00']],
    ['u', 'uuid', ['x', `${uuidOf(1).slice(0, -1)}g`]],
    ['ip', 'inet6', ['x']],
    ['raw', 'bytes', ['x']],
    ['dbl', 'double', ['1e400', 'NaN']],
    ['amount', 'decimal', ['10.001', '999999999', 'abc']],
    ['y', 'integer', ['1900']],
    ['big', 'integer', ['-1', '18446744073709551616']],
    ['id', 'integer', ['2147483648', '1.5', '0x10']],
  ])('by %s refuses what is no %s: %j', async (column, type, values) => {
    const { run, stored, reset } = await setup([column])
    await run()
    const before = await stored()
    for (const value of values) {
      await expect(reset({ cursor: { [column]: value } })).rejects.toMatchObject({
        code: 'invalid_options',
        message: `Expected \`checkpoint.cursor.${column}\` to be the text of a value of the type ${type}, got \`${value}\` (string)`,
      })
    }
    expect(await stored()).toEqual(before)
  })

  test('names the column of a stored position too, and refuses one of another type', async () => {
    const { run, reset } = await setup(['at', 'u'])
    await run()
    const after = { columns: ['at', 'u'], ties: 'refuse', values: ['2024-01-05 00:00:00', 'x'] }
    await expect(reset({ cursor: { after } })).rejects.toThrow(
      '`checkpoint.cursor.u` to be the text of a value of the type uuid',
    )
    const good = { ...after, values: ['2024-01-05 00:00:00', uuidOf(1)] }
    await expect(reset({ cursor: { after: good, order: [{ type: 'date' }] } })).rejects.toMatchObject({
      code: 'invalid_options',
      message: expect.stringContaining('`checkpoint.cursor` to be a position of the cursor as it is now'),
    })
  })

  test('a reset whose query fails changes nothing', async () => {
    const { run, stored, reset } = await setup('id', 'select * from moved')
    await pool.query('create table moved select * from source')
    await run()
    const before = await stored()
    await pool.query('drop table moved')
    await expect(reset({ cursor: { id: '5' } })).rejects.toMatchObject({
      code: 'datasource',
      message: 'The datasource [mysql] could not check the checkpoint. Nothing was reset.',
    })
    expect(await stored()).toEqual(before)
  })

  async function read(columns: string[], more: object) {
    const options = { signal: new AbortController().signal, batchSize: 5, cursor: cursorBy(columns, more) }
    const query = { text: 'select * from source', values: [] }
    let count = 0
    for await (const { length } of batchesByCursor(mysqlDatasource({ pool }), query, options)) count += length
    return count
  }
  const after = (column: string, value: string) => ({ after: { columns: [column], ties: 'refuse', values: [value] } })

  test.each([
    ['at', '2024-13-01 00:00:00'],
    ['d', '2024-02-30'],
    ['tm', '99:99:99'],
    ['u', 'x'],
    ['ip', 'x'],
    ['id', '99999999999'],
  ])('a checkpoint by %s with %s is damaged, and no record is read', async (column, value) => {
    await expect(read([column], { position: after(column, value) })).rejects.toMatchObject({
      code: 'checkpoint',
      message: expect.stringMatching(
        /^The checkpoint was damaged\. Expected `cursor\.after\.values\[0\]` to be the text of a value/,
      ),
    })
  })

  test.each([
    ['d', '2024-01-03', '2024-01-06', '2024-01-02', '2024-01-06', '2024-01-04', 1],
    [
      'at',
      '2024-01-03 00:00:00.000',
      '2024-01-06 00:00:00',
      '2024-01-02 00:00:00',
      '2024-01-06 00:00:00',
      '2024-01-03 00:00:00',
      2,
    ],
    [
      'ts',
      '2024-01-01 00:00:00.003+00',
      '2024-01-01 00:00:00.006+00',
      '2024-01-01 00:00:00.002+00',
      '2024-01-01 00:00:00.006+00',
      '2024-01-01 00:00:00.004+00',
      1,
    ],
    ['name', 'n3', 'n6', 'N4', 'n6', 'n4', 1],
    ['amount', '0.754', '1.5', '0.5', '1.50', '1.00', 1],
    ['id', '3', '6', '-4', '10', '4', 1],
    ['u', uuidOf(3), uuidOf(6), uuidOf(2), uuidOf(6), uuidOf(4), 1],
  ])('the position of a partition by %s is in its range', async (column, from, until, low, high, inside, count) => {
    const range = { from, until }
    for (const value of [low, high]) {
      await expect(read([column], { range, position: after(column, value) })).rejects.toMatchObject({
        code: 'checkpoint',
        message: expect.stringContaining('Expected `cursor.after` to be in the range that it belongs to'),
      })
    }
    expect(await read([column], { range, position: after(column, inside) })).toBe(count)
  })

  test('partitions that are given as dates that do not exist are refused', async () => {
    const signal = new AbortController().signal
    const query = { text: 'select * from source', values: [] }
    const { partition } = mysqlDatasource({ pool })
    const asked = partition?.(query, { signal, cursor: cursorBy('d'), split: ['2024-02-30'] })
    await expect(asked).rejects.toMatchObject({
      code: 'invalid_options',
      message: expect.stringContaining('values of the type date'),
    })
  })
})
