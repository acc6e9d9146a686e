import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Datasource, isTransient, JobRegistry, memoryStorage } from 'headgate'
import { mysqlDatasource } from 'headgate/mysql'
import { pgQueryStreamDatasource } from 'headgate/pg-query-stream'
import { postgresDatasource } from 'headgate/postgres'
import { sqliteDatasource } from 'headgate/sqlite'
import { expect, onTestFinished, test } from 'vitest'
import { describePostgres } from '../support/describe-postgres.js'
import { describeMysql } from '../support/mysql.js'

/** What the status of a job says of its query, and whether it would be tried again. */
async function saidOf(datasource: Datasource, query: string, more: object = {}) {
  const registry = new JobRegistry({ storage: memoryStorage() })
  onTestFinished(() => registry.close())
  let isRepeated: boolean | undefined
  registry.on('error', ({ cause }) => {
    isRepeated = isTransient(cause)
  })
  registry.define({ id: 'a', datasource, query, ...more, target() {} } as never)
  const status = await (await registry.start('ingestion', 'a')).finished
  expect(isRepeated).toBe(false)
  return status.state === 'error' ? status.error.slice(1) : undefined
}

/** Each way to read: in the order of the query, by a cursor, in ranges, and in partitions. */
const ways: [way: string, more: object][] = [
  ['at once', {}],
  ['by a cursor', { cursor: 'id' }],
  ['in parallel', { cursor: 'id', parallel: 2 }],
  ['in pages', { cursor: { columns: 'id', consistency: 'pages' } }],
]

describePostgres('a mistake in a query of Postgres', (database) => {
  const rows = '(values (1, 2)) as orders (id, customer)'
  const mistakes: [query: string, said: (string | RegExp)[]][] = [
    [
      `select id,\n 'ä😀' as a, custmer from ${rows}`,
      [
        'The query failed at line 2, column 13 (SQLSTATE 42703).',
        'column "custmer" does not exist. Hint: Perhaps you meant to reference the column "orders.customer".',
      ],
    ],
    [
      `select id, customer form ${rows} where`,
      [/^The query failed at line 1, column \d+ \(SQLSTATE 42601\)\.$/, /^syntax error at /],
    ],
    ['selct 1 as id', ['The query failed at line 1, column 1 (SQLSTATE 42601).', 'syntax error at or near "selct"']],
  ]

  test.each(ways)('shows what the server says of it, with its place, when it is read %s', async (_, more) => {
    const datasource = postgresDatasource({ connectionString: database.url })
    onTestFinished(() => datasource.close?.())
    for (const [query, said] of mistakes)
      expect(await saidOf(datasource, query, more)).toEqual(
        said.map((text) => (typeof text === 'string' ? text : expect.stringMatching(text))),
      )
  })

  test('shows the same when it is read by pg-query-stream', async () => {
    const datasource = pgQueryStreamDatasource({ connectionString: database.url })
    onTestFinished(() => datasource.close?.())
    for (const [query, [first]] of mistakes)
      expect((await saidOf(datasource, query))?.[0]).toEqual(
        typeof first === 'string' ? first : expect.stringMatching(first as RegExp),
      )
  })

  test('is told from a query that a cursor cannot wrap', async () => {
    const datasource = postgresDatasource({ connectionString: database.url })
    onTestFinished(() => datasource.close?.())
    for (const query of [
      'show server_version',
      'with gone as (delete from pg_class returning 1 as id) select * from gone',
    ])
      expect((await saidOf(datasource, query, { cursor: 'id' }))?.[0]).toMatch(/^The query cannot be read by a cursor/)
  })

  test('is a query that writes where it may only read', async () => {
    const datasource = postgresDatasource({ connectionString: database.url })
    onTestFinished(() => datasource.close?.())
    const [said] = (await saidOf(datasource, 'select lo_creat(-1)::int8 as id', { cursor: 'id' })) ?? []
    expect(said).toContain('(SQLSTATE 25006). The query writes')
  })

  test('says of a placeholder how to give a value', async () => {
    for (const datasource of [
      postgresDatasource({ connectionString: database.url }),
      pgQueryStreamDatasource({ connectionString: database.url }),
    ]) {
      onTestFinished(() => datasource.close?.())
      for (const [placeholder, more] of [
        ['$1', {}],
        ['$1', { cursor: 'id' }],
        [':id', {}],
        ['?', {}],
      ] as const) {
        if ('cursor' in more && datasource.kind !== 'postgres') continue
        const [said] = (await saidOf(datasource, `select id from ${rows} where id > ${placeholder}`, more)) ?? []
        expect(said).toContain(`headgate does not fill \`${placeholder}\`: write \`{{params.name}}\` in its place`)
      }
      const [plain] = (await saidOf(datasource, "select id, 'what?', ':id' from nowhere -- $1")) ?? []
      expect(plain).not.toContain('does not fill')
    }
  })
})

describeMysql('a mistake in a query of MySQL', (database) => {
  test('shows what the server says of the query itself', async () => {
    const datasource = mysqlDatasource({ connectionString: database.url })
    onTestFinished(() => datasource.close?.())
    for (const more of [{}, { cursor: 'id' }]) {
      const parse = await saidOf(datasource, 'select 1 as id\n from dual\n were x', more)
      expect(parse).toEqual([expect.stringContaining('(ER_PARSE_ERROR, 1064)'), expect.stringMatching(/at line 3$/)])
      const column = await saidOf(datasource, 'select custmer as id from dual', more)
      expect(column).toEqual([
        expect.stringContaining('(ER_BAD_FIELD_ERROR, 1054)'),
        expect.stringContaining('custmer'),
      ])
    }
    const wrapped = await saidOf(datasource, 'show tables', { cursor: 'id' })
    expect(wrapped?.[0]).toMatch(/^The query cannot be read by a cursor/)
    for (const placeholder of ['$1', ':id', '?'])
      for (const more of [{}, { cursor: 'id' }]) {
        const [said] =
          (await saidOf(datasource, `select id from (select 1 as id) x where id > ${placeholder}`, more)) ?? []
        expect(said).toContain(`headgate does not fill \`${placeholder}\``)
      }
  })
})

test('a mistake in a query of SQLite shows what SQLite says of the query itself', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'headgate-mistakes-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'a.db')
  writeFileSync(path, '')
  const datasource = sqliteDatasource({ path })
  for (const more of [{}, { cursor: 'id' }]) {
    expect((await saidOf(datasource, 'selct 1 as id', more))?.at(-1)).toContain('near "selct": syntax error')
    expect((await saidOf(datasource, 'select custmer as id', more))?.at(-1)).toContain('no such column: custmer')
  }
})
