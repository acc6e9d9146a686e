import { sqliteTarget } from 'headgate/sqlite'
import { type TargetRecord, targetSuite } from 'headgate/testing'
import { describe, test } from 'vitest'
import { drivers, newFile, ownFolder, withJsonText } from './file-support.js'

const folder = await ownFolder()

describe.each(drivers)('sqliteTarget over %s', (_, Database) => {
  describe.each([{ mode: 'insert' }, { mode: 'upsert', key: 'id' }] as const)('%j', (options) => {
    targetSuite({
      test,
      create() {
        const { database } = newFile(
          folder,
          Database,
          'create table suite (id integer primary key, text text, nested text)',
        )
        const targetOf = (table: string) =>
          sqliteTarget({ database, table, createTable: true, onFullRefresh: 'truncate', ...options })
        return {
          target: withJsonText(targetOf('suite')),
          read() {
            const rows = database.prepare('select id, text, nested from suite order by id').all() as TargetRecord[]
            return rows.map(({ id, text, nested }) => ({ id: Number(id), text, nested: JSON.parse(nested as string) }))
          },
          refused: (id) => ({ id, text: '\ud800', nested: null }),
          empty: () => void database.exec('delete from suite'),
          drop: () => void database.exec('drop table suite'),
          unusable: () => sqliteTarget({ database, table: 'nowhere' }),
          unrefreshable() {
            database.exec(`create table blocked (id integer primary key);
              create table refers (id integer, foreign key (id) references blocked (id))`)
            return targetOf('blocked')
          },
          close: async () => void database.close(),
        }
      },
      unsupported: {
        replace: 'it appends and merges',
        writesIdempotently: 'it writes atomically',
        writesPartitions: 'a file has one writer at a time',
        writesDuringFlush: 'it has one connection',
        acceptsEncoded: 'it reads the values of rows',
        isBroken: 'there is no server that could be away',
      },
    })
  })
})
