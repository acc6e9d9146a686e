import type { JobRecord, Target } from 'headgate'
import { RecordBatch } from 'headgate/adapter'
import { type MysqlTargetOptions, mysqlTarget } from 'headgate/mysql'
import { type TargetRecord, targetSuite } from 'headgate/testing'
import mysql from 'mysql2/promise'
import { afterAll, beforeAll, describe, test } from 'vitest'
import { describeMysql } from '../../support/mysql.js'

describeMysql('conformance', (database) => {
  let pool: mysql.Pool
  beforeAll(() => {
    pool = mysql.createPool({ uri: database.url, connectionLimit: 20, multipleStatements: true })
  })
  afterAll(() => pool.end())

  describe.each([
    { mode: 'insert' },
    { mode: 'upsert', key: 'id' },
    { strategy: 'replace', swap: 'rename' },
    { strategy: 'replace', swap: 'rows' },
  ] as const)('%j', (options) => {
    const replaces = 'strategy' in options
    const targetOf = (table: string) =>
      mysqlTarget({
        ...{ pool, table, createTable: true, ...options },
        ...(replaces ? { maxShrink: 1 } : { onFullRefresh: 'truncate' }),
      } as MysqlTargetOptions)
    targetSuite({
      test,
      async create() {
        await pool.query(`drop table if exists suite, headgate_checkpoint;
          create table suite (id int primary key, text longtext, nested longtext)`)
        return {
          target: withJsonText(targetOf('suite')),
          async read() {
            const [rows] = await pool.query('select * from suite order by id')
            // A column of JSON comes parsed, one of text does not.
            const nestedOf = ({ nested }: TargetRecord) => (typeof nested === 'string' ? JSON.parse(nested) : nested)
            return (rows as TargetRecord[]).map((row) => ({ ...row, nested: nestedOf(row) }))
          },
          refused: (id): JobRecord => ({ id, text: '\ud800', nested: null }),
          empty: async () => void (await pool.query('delete from suite')),
          drop: async () => void (await pool.query('drop table suite')),
          unusable: () => mysqlTarget({ pool, table: 'nowhere' }),
          async unrefreshable() {
            await pool.query(`drop table if exists refers, blocked; create table blocked (id int primary key);
              create table refers (id int, foreign key (id) references blocked (id))`)
            const isRows = replaces && options.swap === 'rows'
            if (isRows) await pool.query('drop table refers; alter table blocked engine = MyISAM')
            return targetOf('blocked')
          },
          async disconnect() {
            const [rows] = await pool.query(`select id from information_schema.processlist where db = database()
              and id <> connection_id()`)
            for (const { id } of rows as { id: number }[]) await pool.query(`kill ${id}`).catch(() => undefined)
          },
        }
      },
      unsupported: {
        ...(replaces ? { append: 'it replaces only' } : { replace: 'it appends only' }),
        writesIdempotently: 'it writes atomically',
        writesDuringFlush: 'it has one connection',
        acceptsEncoded: 'it reads the bytes of rows, which come with their values',
      },
    })
  })
})

/** The same target for records whose JSON is text already: a text is taken as JSON, so one that is meant as a text is written as JSON. */
function withJsonText(target: Target): Target {
  const jsonText = (record: TargetRecord) =>
    typeof record.nested === 'string' ? { ...record, nested: JSON.stringify(record.nested) } : record
  return {
    ...target,
    async open(context) {
      const opened = await target.open(context)
      const { writer } = opened
      const write = writer.write.bind(writer)
      writer.write = (batch, context) =>
        write(batch.isRaw ? batch : RecordBatch.fromRecords((batch.records() as TargetRecord[]).map(jsonText)), context)
      return opened
    },
  }
}
