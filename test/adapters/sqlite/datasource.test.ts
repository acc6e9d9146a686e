import { sqliteDatasource } from 'headgate/sqlite'
import { datasourceSuite } from 'headgate/testing'
import { describe, test } from 'vitest'
import { counted, drivers, newFile, ownFolder } from './file-support.js'

const folder = await ownFolder()

describe.each(drivers)('sqliteDatasource over %s keeps the contract of a datasource', (name, Database) => {
  const { path, database: source } = newFile(
    folder,
    Database,
    `create table numbers (n integer primary key);
    insert into numbers with recursive up (n) as (select 1 union all select n + 1 from up where n < 1000) select n from up`,
  )
  source.close()

  datasourceSuite({
    test,
    create() {
      const { Counted, open } = counted(Database)
      const database = new Counted(path)
      return {
        datasource: sqliteDatasource({ database }),
        query: (count) => ({ text: 'select n as id from numbers where n <= ? order by n', values: [count] }),
        wide: (count) => ({
          text: `select n as id, printf('%10000s', 'x') as text from numbers where n <= ? order by n;`,
          values: [count],
        }),
        pairs: (count) => ({
          text: 'select n as id, (n + 1) / 2 as pair, -n as down from numbers where n <= ? order by n',
          values: [count],
        }),
        gaps: (count) => ({
          text: 'select n as id, iif(n % 3 > 0, n, null) as gap from numbers where n <= ? order by n',
          values: [count],
        }),
        bigIntegers: { text: 'select 9007199254740991 + n * 2 as id from numbers where n <= 2 order by n', values: [] },
        between: (first, last) => `select n as id from numbers where n between ${first} and ${last} order by n`,
        echo: (value) => `select 1 as id, ${value} as text`,
        failing: {
          text: 'select n as id, abs(-9223372036854775802 - n) as large from numbers where n <= 10',
          values: [],
        },
        held: () => open() - 1,
        unusable: () => sqliteDatasource({ path: `${folder}/nowhere.db` }),
        close: async () => void database.close(),
      }
    },
    unsupported: {
      blocked: 'the drivers are synchronous',
      stalling: 'the drivers are synchronous',
      fetched: 'the file is no server',
      resumesAfterId: 'it resumes only where the query says how',
      readsRanges: 'it requires a query',
      parallel: 'connections share no snapshot',
      snapshot: 'connections share no snapshot',
      // It reads the texts of all rows before, where it would cut them.
      ...(name !== 'better-sqlite3' && { failing: 'the driver gives no rows before an error' }),
    },
  })
})
