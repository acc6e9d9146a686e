import fc from 'fast-check'
import type { Datasource } from 'headgate'
import type { ReadCursor } from 'headgate/adapter'
import { mysqlDatasource } from 'headgate/mysql'
import mysql from 'mysql2/promise'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { describeMysql } from '../../support/mysql.js'
import { batchesByCursor, cursorBy } from '../postgres/datasource-read.js'

describeMysql('reading MySQL by a cursor', (database) => {
  let pool: mysql.Pool
  let seen: string[]
  beforeAll(async () => {
    pool = mysql.createPool({ uri: database.url, connectionLimit: 4 })
    // What the server was told to prepare, as the statement that it runs.
    pool.pool.on('connection', (opened) => {
      const connection = opened as unknown as { addCommand(command: object): unknown }
      const { addCommand } = connection
      connection.addCommand = (command: { sql?: string }) => {
        const hex = /^set @headgate_text = _utf8mb4 x'([0-9a-f]+)'/.exec(command.sql ?? '')?.[1]
        if (hex) seen.push(Buffer.from(hex, 'hex').toString())
        return addCommand.call(connection, command)
      }
    })
    seen = []
    await pool.query(`create table articles (id bigint primary key, section int, at datetime(6), price decimal(40,20),
      code varbinary(8), label varchar(20), exact varchar(20) collate utf8mb4_bin, f float, touched timestamp(3) null,
      key by_section (section, id), key by_at (at, id))`)
    await pool.query(`insert into articles select seq, seq div 7, timestampadd(microsecond, seq * 1111111, '2024-02-28'),
      seq / 3, unhex(lpad(hex(seq), 8, '0')), concat('l', seq div 2), concat('e', seq), 16777217 + seq,
      timestampadd(second, seq, '2024-01-01') from seq_1_to_30000`)
    await pool.query('analyze table articles')
  })
  afterAll(() => pool.end())

  async function read(
    cursor: ReadCursor,
    text = 'select * from articles',
    batchSize = 1000,
    warn?: (message: string) => void,
  ) {
    const options = { signal: new AbortController().signal, batchSize, cursor, ...(warn && { warn }) }
    const batches = []
    for await (const batch of batchesByCursor(mysqlDatasource({ pool }), { text, values: [] }, options))
      batches.push(batch)
    return batches
  }

  test('an index serves the order and the start of a read; a comparison of rows would not', async () => {
    const columns = ['section', 'id']
    const [first] = await read(cursorBy(columns, { limit: 20_000 }))
    seen = []
    await read(cursorBy(columns, { position: JSON.parse(JSON.stringify(first?.position)), limit: 100 }))
    const statement = seen.find((text) => /order by q\.`section`, q\.`id`$/.test(text)) ?? ''
    const explain = async (text: string) => {
      const values = (text.match(/\?/g) ?? []).map((_, index) => [142, 142, 1000, 200, 200, 2000][index])
      const [rows] = await pool.query<mysql.RowDataPacket[]>(`explain ${text}`, values)
      return rows[0]
    }
    expect(await explain(statement)).toMatchObject({ type: 'range', key: 'by_section' })
    expect((await explain(statement))?.Extra).not.toContain('filesort')
    const rows = await explain('select * from articles where (section, id) > (?, ?) order by section, id')
    expect(rows?.type).not.toBe('range')
  })

  test('warns when no index serves the order, and names the columns', async () => {
    const warnings: string[] = []
    await read(cursorBy(['section', 'id'], { limit: 5 }), undefined, 10, (message) => warnings.push(message))
    expect(warnings).toEqual([])
    await read(cursorBy(['price', 'id'], { limit: 5 }), undefined, 10, (message) => warnings.push(message))
    expect(warnings).toEqual([
      'No index serves the order by `price`, `id`, so the server sorts all remaining rows whenever reading starts. An index on these columns, in their order, would help.',
    ])
  })

  test('a float is exact by a cursor, without a cast in the query', async () => {
    const [batch] = await read(cursorBy('id', { limit: 1 }), 'select id, f from articles', 1)
    expect(batch?.records()).toEqual([{ id: '1', f: 16777218 }])
  })

  test.each([
    ['label', 'select * from articles'],
    ['mood', "select id, cast('a' as char) as mood from articles"],
    ['list', 'select id, json_array(id) as list from articles'],
  ])('refuses the column `%s`, whose text does not show which values are equal', async (column, text) => {
    await expect(read(cursorBy([column]), text)).rejects.toThrow(
      `Expected the cursor column \`${column}\` to be a number, a date, a time, a uuid, bytes, or a text whose collation ends in \`_bin\``,
    )
  })

  test('reads by a text with an exact collation of the query', async () => {
    const text = 'select id, label collate utf8mb4_bin as label from articles where id <= 50'
    const batches = await read(cursorBy(['label', 'id']), text, 7)
    expect(batches.flatMap((batch) => batch.records())).toHaveLength(50)
  })

  test('refuses several readers, which share no snapshot', async () => {
    await expect(read(cursorBy('id', { parallel: 2 }))).rejects.toThrow(
      'connections of MySQL share no snapshot: use `partitions`',
    )
  })

  test('a checkpoint of another type or collation is refused', async () => {
    const [batch] = await read(cursorBy('exact', { limit: 1 }), undefined, 1)
    const position = JSON.parse(JSON.stringify(batch?.position))
    const changed =
      'select id, exact collate latin1_bin as exact from (select id, convert(exact using latin1) as exact from articles) a'
    await expect(read(cursorBy('exact', { position }), changed)).rejects.toThrow(
      'The cursor column `exact` has changed from utf8mb4_bin to latin1_bin since the checkpoint was made',
    )
  })

  describe('a checkpoint of a column', () => {
    const first = 'select id, section from articles where id <= 10'
    const positionOf = async (text: string) => {
      const [batch] = await read(cursorBy('id', { limit: 1 }), text, 1)
      return JSON.parse(JSON.stringify(batch?.position))
    }
    beforeAll(async () => {
      await pool.query('create table others (id bigint primary key, other bigint)')
      await pool.query('insert into others select seq, seq from seq_1_to_10')
    })

    test.each([
      ['of another table', 'select id from others', 'others.id'],
      [
        'of another column, which has its name now',
        'select id + 0 as x, section as id from articles',
        'articles.section',
      ],
      ['that is another one', 'select other as id from others', 'others.other'],
      ['that is computed', 'select id + 0 as id from articles', 'an expression'],
      ['that is computed by a function', 'select coalesce(id, 0) as id from articles', 'an expression'],
    ])('is refused for one %s', async (_, text, now) => {
      const failure = await read(cursorBy('id', { position: await positionOf(first) }), text).catch((error) => error)
      expect(failure.message).toMatch(/The cursor column `id` has changed from .* since the checkpoint .* call `reset`/)
      expect(failure.message).toMatch(now)
    })

    test('names it as the query does, behind an alias and with another condition', async () => {
      const position = await positionOf(first)
      expect(position.order).toEqual([{ type: 'integer', origin: expect.stringMatching(/^\w+\.articles\.id$/) }])
      const text = 'select a.section, a.id from articles a where a.id <= 20'
      expect((await read(cursorBy('id', { position }), text)).flatMap((batch) => batch.records())).toHaveLength(19)
    })

    test('of an earlier version, which stored the column of the wrapped query, resumes', async () => {
      const { order, ...position } = await positionOf(first)
      const [{ type }] = order
      const earlier = { ...position, order: [{ type, source: '`test`.`q`.`id`' }] }
      const batches = await read(cursorBy('id', { position: earlier }), first)
      expect(batches.flatMap((batch) => batch.records())).toHaveLength(9)
      expect(batches.at(-1)?.position).toMatchObject({ order })
    })
  })

  test.each([
    ['a value of another type', { after: { columns: ['id'], values: ['x'], ties: 'refuse' } }],
    ['too few values', { after: { columns: ['id'], values: [], ties: 'refuse' } }],
    ['ranges', { after: { columns: ['id'], values: ['1'], ties: 'refuse' }, ranges: [{}, {}] }],
    ['nothing', {}],
  ])('a damaged checkpoint is refused: %s', async (_, position) => {
    await expect(read(cursorBy('id', { position }))).rejects.toThrow('The checkpoint was damaged. ')
  })

  test('partitions hold every record once, by each type that can be divided', async () => {
    const partition = mysqlDatasource({ pool }).partition as NonNullable<Datasource['partition']>
    const signal = new AbortController().signal
    const query = { text: 'select * from articles where id <= 3000', values: [] }
    for (const columns of [['id'], ['section', 'id'], ['at'], ['price', 'id'], ['touched', 'id']]) {
      const { bounds, start, release } = await partition(query, { signal, cursor: cursorBy(columns), split: 4 })
      await release()
      expect(bounds).toHaveLength(3)
      const ids: unknown[] = []
      for (let n = 0; n <= 3; n++) {
        const [from, until] = [bounds[n - 1], bounds[n]]
        const range = { ...(from !== undefined && { from }), ...(until !== undefined && { until }) }
        const cursor = cursorBy(columns, { range, position: start, isStart: true })
        const batches = await read(cursor, query.text)
        expect(batches.length).toBeGreaterThan(0)
        ids.push(...batches.flatMap((batch) => batch.records().map(({ id }) => Number(id))))
      }
      expect(ids).toEqual(Array.from({ length: 3000 }, (_, index) => index + 1))
    }
  })

  test.each([
    ['at', 60_000, 55],
    ['at', 0.001, 1],
    ['touched', 60_000, 61],
    ['id', 10, 11],
    ['price', 3.5, 11],
    ['exact', 1, undefined],
  ])('lookback by `%s` of %d repeats %j records', async (column, lookback, repeated) => {
    const first = await read(cursorBy([column], { limit: 1000 }))
    const position = JSON.parse(JSON.stringify(first.at(-1)?.position))
    const reading = read(cursorBy([column], { position, lookback, limit: 10 }))
    if (repeated === undefined)
      return expect(reading).rejects.toThrow('with `lookback` to be a date, a timestamp or a number')
    const batches = await reading
    const again = batches.filter(({ isReplay }) => isReplay).reduce((sum, { length }) => sum + length, 0)
    expect(again).toBe(repeated)
  })

  test('any read, left at any batch and resumed, gives what one statement gives', { timeout: 120_000 }, async () => {
    await pool.query(`create table odd (id bigint unsigned primary key, a int null, d decimal(50,20), u bigint unsigned, t time(2),
      at datetime(6), ts timestamp(6) null, b varbinary(10), s varchar(10) collate utf8mb4_bin, f double)`)
    const pick = <Value>(...values: Value[]) => fc.constantFrom(...values)
    const row = fc.record({
      a: pick(null, 1, 2, 3),
      d: pick('0', '-1.5', '12345678901234567890.00000000000000000001', '12345678901234567890.00000000000000000002'),
      u: pick('0', '9007199254740992', '9007199254740993', '18446744073709551615'),
      t: pick('-838:59:59', '00:00:00', '100:00:00.5'),
      at: pick('1000-01-01', '2024-01-01 00:00:00.000001', '2024-01-01 00:00:00.000002'),
      ts: pick('2024-01-01', '2024-01-01 00:00:00.000001'),
      b: pick('', '00', 'ff00', 'ff'),
      s: pick('', 'a', 'A', 'a ', 'ä', '🦫'),
      f: pick(0, -1e300, 0.1, 1e-7),
    })
    const columns = fc.shuffledSubarray(['a', 'd', 'u', 't', 'at', 'ts', 'b', 's', 'f'], { minLength: 1, maxLength: 3 })
    await fc.assert(
      fc.asyncProperty(
        fc.array(row, { maxLength: 25 }),
        columns,
        fc.boolean(),
        pick(2, 7),
        pick('statement' as const, 'pages' as const),
        fc.nat(5),
        async (rows, columns, isUnique, batchSize, consistency, stop) => {
          await pool.query('delete from odd')
          const values = rows.map(({ a, d, u, t, at, ts, b, s, f }, index) => {
            return [String(2n ** 63n + BigInt(index)), a, d, u, t, at, ts, Buffer.from(b, 'hex'), s, f]
          })
          if (values.length > 0) await pool.query('insert into odd values ?', [values])
          const names = isUnique ? [...columns, 'id'] : columns
          const options = { ties: isUnique ? 'refuse' : 'drain', nulls: 'skip', consistency } as const
          const start = await read(cursorBy(names, options), 'select * from odd', batchSize)
          const left = start.slice(0, stop + 1)
          const places = left.map(({ position }) => position)
          const at = places.findLastIndex((position) => position !== undefined)
          const position = at < 0 ? undefined : JSON.parse(JSON.stringify(places[at]))
          const rest = await read(cursorBy(names, { ...options, position }), 'select * from odd', 4)
          const idsOf = (batches: typeof start) => batches.flatMap((batch) => batch.records().map(({ id }) => id))
          const [expected] = await pool.query<mysql.RowDataPacket[]>({
            sql: `select cast(id as char) as id from odd where a is not null or ${!names.includes('a')} order by ${names.join(', ')}`,
          })
          const ids = [...idsOf(start.slice(0, at + 1)), ...idsOf(rest)]
          const all = expected.map(({ id }) => id)
          if (isUnique) expect(ids).toEqual(all)
          else expect(ids.toSorted()).toEqual(all.toSorted())
        },
      ),
      { numRuns: 25 },
    )
  })
})
