import { RecordBatch, type Target } from 'headgate'
import { postgresTarget } from 'headgate/target/postgres'
import { type TargetRecord, targetSuite } from 'headgate/testing'
import pg from 'pg'
import { afterAll, beforeAll, describe, test } from 'vitest'
import { describePostgres } from '../support/describe-postgres.js'

describePostgres('conformance', (database) => {
  let pool: pg.Pool
  beforeAll(() => {
    pool = new pg.Pool({ connectionString: database.url })
    pool.on('error', () => undefined)
  })
  afterAll(() => pool.end())

  describe.each([{ mode: 'insert' }, { mode: 'upsert', key: 'id' }] as const)('$mode', (mode) => {
    targetSuite({
      test,
      async create() {
        await pool.query(
          'drop table if exists suite, headgate_checkpoint; create table suite (id int primary key, text text, nested json)',
        )
        return {
          target: withJsonText(postgresTarget({ pool, table: 'suite', ...mode })),
          read: async () => (await pool.query('select * from suite order by id')).rows,
        }
      },
      cannot: { replace: 'it appends only' },
    })
  })
})

/** Text for a column of JSON is JSON: the suite's objects have strings that are to be JSON strings. */
function withJsonText(target: Target): Target {
  const jsonText = (record: TargetRecord) =>
    typeof record.nested === 'string' ? { ...record, nested: JSON.stringify(record.nested) } : record
  return {
    ...target,
    async open(context) {
      const writer = await target.open(context)
      return {
        checkpoint: writer.checkpoint,
        write: (batch, context) =>
          writer.write(
            batch.isRaw ? batch : RecordBatch.fromRecords((batch.records() as TargetRecord[]).map(jsonText)),
            context,
          ),
        flush: async (checkpoint) => writer.flush?.(checkpoint),
        commit: async () => writer.commit?.(),
        abort: async (reason) => writer.abort?.(reason),
      }
    },
  }
}
