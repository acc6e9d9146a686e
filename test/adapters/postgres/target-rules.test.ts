import { beforeEach, expect, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { targetTests, write } from './target-support.js'

describePostgres('a rule that does something else than a write', (database) => {
  const tests = targetTests(database)
  const { target, rows, opened, complete } = tests
  beforeEach(() =>
    tests.pool.query(`drop view if exists v; drop table if exists t, elsewhere, headgate_checkpoint;
      create table t (id int primary key, v text); create table elsewhere (id int, v text); create view v as select * from t;
      insert into t values (1, 'old'), (9, 'gone')`),
  )
  const upsert = { mode: 'upsert', key: 'id' } as const
  const statements = [
    'on insert to t do instead nothing',
    'on insert to t where new.id = 2 do instead nothing',
    'on insert to t do instead insert into elsewhere values (new.*)',
    'on update to t do instead nothing',
    'on delete to t do instead nothing',
    'on insert to t do also insert into elsewhere values (new.*)',
    'on delete to t do also insert into elsewhere values (old.*)',
  ]

  test.each(statements)('is refused where rows would be lost without a word: %s', async (rule) => {
    await tests.pool.query(`create rule detour as ${rule}`)
    for (const options of [upsert, { strategy: 'replace' }, { ...upsert, table: 'v' }] as const)
      await expect(opened(target(options))).rejects.toMatchObject({
        code: 'target',
        message: expect.stringContaining('The rule `detour` on t changes writes to'),
      })
    expect(await rows()).toEqual([[1, 'old'], [9, 'gone']]) // biome-ignore format: one line
  })

  test('is refused when it is made beside a run', async () => {
    for (const options of [upsert, { strategy: 'replace' }] as const) {
      const writer = await opened(target(options))
      await write(writer, [{ id: 2, v: 'new' }])
      await writer.flush?.(null)
      await tests.pool.query('create rule detour as on insert to t do instead nothing')
      const rest = async () => {
        await write(writer, [{ id: 1, v: 'new' }])
        await writer.flush?.(null)
        await writer.commit?.()
      }
      await expect(rest()).rejects.toMatchObject({ code: 'target' })
      await tests.pool.query('drop rule detour on t')
    }
    expect(await rows()).toEqual([[1, 'old'], [2, 'new'], [9, 'gone']]) // biome-ignore format: one line
  })

  test('is passed by when records are appended, as COPY does', async () => {
    await tests.pool.query('create rule detour as on insert to t do instead nothing')
    await complete(target(), [{ id: 2, v: 'new' }])
    expect(await rows()).toEqual([[1, 'old'], [2, 'new'], [9, 'gone']]) // biome-ignore format: one line
  })

  test('does not matter once it is disabled', async () => {
    await tests.pool.query(`create rule detour as on insert to t do instead nothing; alter table t disable rule detour`)
    await complete(target({ strategy: 'replace' }), [{ id: 1, v: 'new' }])
    expect(await rows()).toEqual([[1, 'new']])
  })
})

describePostgres('a foreign table', (database) => {
  const tests = targetTests(database)

  test('is refused before the load when its rows are to be replaced', async () => {
    await tests.pool.query(`create extension if not exists file_fdw; create server files foreign data wrapper file_fdw;
      create foreign table f (id int, v text) server files options (filename '/dev/null')`)
    for (const swap of ['rows', 'rename'] as const)
      await expect(tests.opened(tests.target({ strategy: 'replace', table: 'f', swap }))).rejects.toMatchObject({
        code: 'target',
      })
  })
})
