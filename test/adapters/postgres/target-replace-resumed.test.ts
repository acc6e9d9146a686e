import { JobRegistry, memoryStorage } from 'headgate'
import { postgresDatasource } from 'headgate/postgres'
import { expect, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { targetTests } from './target-support.js'

describePostgres('a replace that resumes after a row of the source has moved', (database) => {
  const tests = targetTests(database)

  test.each(['rows', 'rename'] as const)(
    'loads everything again after one failure, with the swap `%s`',
    async (swap) => {
      await tests.pool.query(`drop table if exists source, t, headgate_checkpoint;
      create table source (id int primary key, u int); insert into source select id, id from generate_series(1, 100) id;
      create table t (id int primary key, u int)`)
      await using registry = new JobRegistry({ storage: memoryStorage(), progressInterval: 0 })
      registry.define({
        id: 'job',
        datasource: postgresDatasource({ pool: tests.pool }),
        query: 'table source',
        cursor: ['u', 'id'],
        batchSize: 10,
        target: tests.target({ strategy: 'replace', swap, lockTimeout: 20 }),
      })
      const run = async () => await (await registry.start('ingestion', 'job')).finished
      expect(await run()).toMatchObject({ state: 'successful' })
      const blocker = await tests.pool.connect()
      await blocker.query('begin; insert into t values (0, 0)')
      // The indexes are there by then.
      expect(await run()).toMatchObject({ state: 'error' })
      await blocker.query('rollback')
      blocker.release()
      await tests.pool.query('update source set u = 200 where id = 5; delete from source where id = 7')
      const error = expect.arrayContaining([expect.stringContaining('the next run loads everything again')])
      expect(await run()).toMatchObject({ state: 'error', error, detail: { split: true } })
      expect(await run()).toMatchObject({ state: 'successful', detail: { split: false } })
      expect(await tests.rows('select count(*)::int, max(u) from t')).toEqual([[99, 200]])
    },
  )
})
