import { randomUUID } from 'node:crypto'
import { isTransient } from 'headgate'
import { RecordBatch } from 'headgate/adapter'
import { type MysqlTargetOptions, mysqlTarget } from 'headgate/mysql'
import { beforeEach, describe, expect, test } from 'vitest'
import { describeMysql } from '../../support/mysql.js'
import { context, messagesOf, mysqlTests, write } from './target-support.js'

const records = (first: number, last: number) =>
  Array.from({ length: last - first + 1 }, (_, n) => ({ id: first + n, name: `name ${first + n}` }))
const idsOf = (first: number, last: number) => records(first, last).map(({ id }) => [String(id)])

describeMysql('a table of MySQL that is replaced', (database) => {
  const tests = mysqlTests(database)
  const { run, rows, opened, complete } = tests
  const target = (more: Partial<MysqlTargetOptions> = {}) =>
    tests.target({ strategy: 'replace', maxShrink: 1, ...more })
  const tables = async () =>
    (await rows(`select table_name from information_schema.tables where table_schema = database() order by 1`)).flat()

  beforeEach(async () => {
    for (const name of await tables()) await run(`set foreign_key_checks = 0; drop table \`${name}\``)
    await run(`create table t (id int primary key, name varchar(50), note varchar(50) default 'none', key (name))`)
    await run(`insert into t (id, name) values (1, 'old'), (2, 'old'), (3, 'old')`)
  })

  test.each(['rename', 'rows'] as const)('by %s, has the new rows, and leaves no other table', async (swap) => {
    const writer = await opened(target({ swap, maxShrink: 0.5 }))
    await write(writer, records(2, 9))
    await writer.flush?.({ sequence: 1 })
    expect(await rows('select distinct name from t')).toEqual([['old']])
    expect(await writer.commit?.()).toEqual({ how: swap, before: 3, after: 8 })
    expect(await rows('select id, name, note from t order by id')).toEqual(
      records(2, 9).map(({ id, name }) => [String(id), name, 'none']),
    )
    expect(await tables()).toEqual(['headgate_checkpoint', 't'])
    expect(await rows('select checkpoint from headgate_checkpoint')).toEqual([[null]])
    expect(
      await rows(
        `select index_name from information_schema.statistics where table_schema = database() and table_name = 't' order by 1`,
      ),
    ).toEqual([['name'], ['PRIMARY']])
  })

  test('that is missing is created, and replaced later', async () => {
    await run('drop table t')
    const columns = [{ name: 'id', type: 'integer' }] as const
    for (const count of [3, 2]) {
      const batch = RecordBatch.fromRows(
        columns,
        records(1, count).map(({ id }) => [String(id)]),
      )
      await complete(target({ createTable: true, key: 'id' }), batch)
      expect(await rows('select id from t')).toEqual(idsOf(1, count))
    }
  })

  test('is not renamed by a user that may not see its triggers', async () => {
    const user = `hg_${randomUUID().slice(0, 8)}`
    const name = new URL(database.url).pathname.slice(1)
    await run(
      `create user ${user} identified by 'x'; grant select, insert, update, delete, create, alter, drop, index on ${name}.* to ${user}`,
    )
    const url = Object.assign(new URL(database.url), { username: user, password: 'x' }).href
    const own = (more = {}) => mysqlTarget({ connectionString: url, table: 't', strategy: 'replace', ...more })
    const error = await Promise.resolve(own({ swap: 'rename' }).open(context())).catch((it: unknown) => it)
    expect(messagesOf(error)).toContain('triggers, which the user may not see: grant it `trigger`')
    const { writer } = await own().open(context())
    await write(writer, records(1, 3))
    await writer.flush?.(null)
    expect(await writer.commit?.()).toMatchObject({ how: 'rows' })
    await run(`grant trigger on ${name}.t to ${user}`)
    const next = await own().open(context())
    await write(next.writer, records(1, 3))
    await next.writer.flush?.(null)
    expect(await next.writer.commit?.()).toMatchObject({ how: 'rename' })
    await run(`drop user ${user}`)
  })

  test('without a key, by rows', async () => {
    await run('alter table t drop primary key')
    await complete(target({ swap: 'rows' }), RecordBatch.fromRecords([...records(1, 2), ...records(1, 2)]))
    expect(await rows('select id from t order by id')).toEqual([['1'], ['1'], ['2'], ['2']])
  })

  test('keeps rows that others refer to, and triggers, by rows when nothing else is said', async () => {
    await run(
      `create table child (t_id int, foreign key (t_id) references t (id) on delete cascade); insert into child values (2), (1)`,
    )
    const writer = await opened(target())
    await write(writer, records(2, 4))
    await writer.flush?.(null)
    expect(await writer.commit?.()).toMatchObject({ how: 'rows' })
    expect(await rows('select * from child')).toEqual([['2']])
    const refused = await Promise.resolve(target({ swap: 'rename' }).open(context())).catch((it: unknown) => it)
    expect(messagesOf(refused)).toContain('the foreign key child_ibfk_1 of child')
    await expect(target({ swap: 'rename' }).checkFullRefresh?.(new AbortController().signal)).rejects.toMatchObject({
      code: 'invalid_options',
    })
    await run(
      'drop table child; create trigger counts before insert on t for each row set new.note = concat(new.name, 1)',
    )
    await complete(target(), RecordBatch.fromRecords(records(3, 4)))
    // A row that is new fires it, one that stays does not.
    expect(await rows('select id, note from t order by id')).toEqual([
      ['3', 'none'],
      ['4', 'none'],
    ])
    await complete(target(), RecordBatch.fromRecords(records(3, 5)))
    expect(await rows('select id, note from t order by id')).toEqual([
      ['3', 'none'],
      ['4', 'none'],
      ['5', 'name 51'],
    ])
  })

  test('is not replaced by far fewer rows', async () => {
    const writer = await opened(target({ maxShrink: 0.5 }))
    await write(writer, records(1, 1))
    await writer.flush?.({ sequence: 1 })
    await expect(Promise.resolve(writer.commit?.())).rejects.toThrow('Refused to replace the 3 records of')
    expect(await rows('select id from t')).toEqual(idsOf(1, 3))
    expect(await tables()).toEqual(['headgate_checkpoint', 't'])
  })

  test('that an application reads waits for it, and the load stays when it takes too long', async () => {
    const reader = await tests.pool.getConnection()
    await reader.query('start transaction')
    await reader.query('select * from t')
    const writer = await opened(target({ lockTimeout: 2000, swap: 'rename' }))
    await write(writer, records(5, 9))
    await writer.flush?.({ sequence: 1 })
    const committing = Promise.resolve(writer.commit?.())
    await reader.query('commit')
    reader.release()
    await committing
    expect(await rows('select id from t')).toEqual(idsOf(5, 9))
  })

  describe.each(['rename', 'rows'] as const)('whose process dies, by %s', (swap) => {
    /** Fails the writer at the n-th statement of its swap that matches, as the end of the process does: none follows. */
    const dyingAt = async (pattern: RegExp, isDone: boolean) => {
      const to = target({ swap })
      const writer = await opened(to)
      await write(writer, records(5, 9))
      await writer.flush?.({ sequence: 1 })
      const [connections] = await tests.pool.query(
        `select id from information_schema.processlist where db = database() and id <> connection_id()`,
      )
      expect(connections).not.toEqual([])
      const restore = cutAt(tests.pool, pattern, isDone)
      const error = await Promise.resolve(writer.commit?.()).catch((it: unknown) => it)
      restore()
      expect(error).toBeInstanceOf(Error)
      return to
    }
    const moments: [RegExp, boolean][] =
      swap === 'rename'
        ? [
            [/^rename table/, false],
            [/^rename table/, true],
            [/^commit/, true],
            [/^update .*checkpoint = null/, false],
            [/^drop table if exists .*_old/, false],
          ]
        : [
            [/^delete headgate_t/, true],
            [/^update .*headgate_t join/, true],
            [/^insert into .*select/, true],
            [/^update .*checkpoint = null/, true],
            [/^drop table if exists/, false],
          ]
    test.each(moments)(
      'at %s (done: %s), has the old or the new rows, and the next run ends right',
      async (pattern, isDone) => {
        const to = await dyingAt(pattern, isDone)
        const ids = await rows('select id from t order by id')
        expect([idsOf(1, 3), idsOf(5, 9)]).toContainEqual(ids)
        const next = await opened(to, { isResumed: true })
        const isResumed = typeof next.resume === 'object'
        await write(next, isResumed ? records(10, 11) : records(5, 11))
        await next.flush?.({ sequence: 2 })
        await next.commit?.()
        expect(await rows('select id from t order by id')).toEqual(idsOf(5, 11))
        expect(await tables()).toEqual(['headgate_checkpoint', 't'])
      },
    )
  })

  test('continues a load, and drops one whose table was altered', async () => {
    const first = await opened(target())
    await write(first, records(5, 6))
    await first.flush?.({ sequence: 1 })
    const second = await opened(target(), { isResumed: true })
    expect(second.resume).toEqual({ checkpoint: { sequence: 1 } })
    await write(second, records(7, 8))
    await second.flush?.({ sequence: 2 })
    await run('alter table t add other int')
    const third = await opened(target(), { isResumed: true })
    expect(third.resume).toBe('restart')
    await write(third, records(5, 9))
    await third.flush?.({ sequence: 3 })
    await third.commit?.()
    expect(await rows('select id from t')).toEqual(idsOf(5, 9))
  })

  test('drops a load of two reads that do not fit together', async () => {
    const first = await opened(target())
    await write(first, records(5, 6))
    await first.flush?.({ sequence: 1 })
    const second = await opened(target(), { isResumed: true })
    const error = await Promise.resolve(write(second, records(6, 7)).then(() => second.flush?.({ sequence: 2 }))).catch(
      (it: unknown) => it,
    )
    expect(messagesOf(error)).toContain('come from two reads')
    expect(isTransient(error)).toBe(true)
    const third = await opened(target(), { isResumed: true })
    expect(third.resume).toBe('restart')
  })

  test('an execution that another one has followed swaps nothing', async () => {
    const first = await opened(target())
    await write(first, records(5, 6))
    await first.flush?.({ sequence: 1 })
    const second = await opened(target(), { isResumed: true })
    await expect(Promise.resolve(first.commit?.())).rejects.toThrow()
    await write(second, records(7, 8))
    await second.flush?.({ sequence: 2 })
    await second.commit?.()
    expect(await rows('select id from t')).toEqual(idsOf(5, 8))
  })

  test('a run that stops and cannot resume leaves no table', async () => {
    const writer = await opened(target(), { isResumable: false })
    await write(writer, records(5, 6))
    await writer.abort?.({ reason: 'over', leaseLost: false })
    expect(await tables()).toEqual(['headgate_checkpoint', 't'])
  })
})

/** Lets connections of a pool end at the first statement that matches: before it, or after it is done. */
function cutAt(pool: unknown, pattern: RegExp, isDone: boolean): () => void {
  const { pool: inner } = pool as { pool: { _allConnections: { toArray(): Cuttable[] } } }
  const connections = inner._allConnections.toArray()
  const restores = connections.map((connection) => {
    const { addCommand } = connection
    let isCut = false
    connection.addCommand = (command) => {
      if (isCut) return addCommand.call(connection, command)
      isCut = pattern.test(String(command.sql).trim())
      if (!isCut) return addCommand.call(connection, command)
      if (!isDone) {
        connection.stream.destroy()
        return addCommand.call(connection, command)
      }
      const { onResult } = command
      command.onResult = (...answer) => {
        connection.stream.destroy()
        onResult?.call(command, answer[0] ?? new Error('The test has cut the connection.'))
      }
      return addCommand.call(connection, command)
    }
    return () => {
      connection.addCommand = addCommand
    }
  })
  return () => {
    for (const restore of restores) restore()
  }
}

interface Cuttable {
  addCommand(command: Command): unknown
  readonly stream: { destroy(): void }
}

interface Command {
  readonly sql: unknown
  onResult?: (error: unknown) => void
}
