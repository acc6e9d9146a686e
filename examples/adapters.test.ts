/** Adapters of one's own, held to the contracts by the suites of `headgate/testing`. `npx vitest run examples`. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type JobRecord, memoryStorage, type Target } from 'headgate'
import type { TargetWriter } from 'headgate/adapter'
import { datasourceSuite, fakeClock, storageSuite, type TargetRecord, targetSuite } from 'headgate/testing'
import Database from 'libsql'
import { describe, test } from 'vitest'
import { sqliteDatasource } from './adapters/cursor.js'
import { partitionedSqliteDatasource } from './adapters/partitions.js'
import { linesDatasource } from './adapters/reads.js'
import { pagesDatasource } from './adapters/resumes.js'

// #region reads
describe('linesDatasource', () => {
  datasourceSuite({
    test,
    create() {
      const folder = mkdtempSync(join(tmpdir(), 'lines-'))
      return {
        datasource: linesDatasource(),
        query(count) {
          const path = join(folder, `${count}.txt`)
          writeFileSync(path, 'a line\n'.repeat(count))
          return { text: path, values: [] }
        },
        close: async () => rmSync(folder, { recursive: true }),
      }
    },
    unsupported: {
      blocked: 'a file is there at once',
      stalling: 'a file is there at once',
      failing: 'a file fails when it is opened',
      held: 'the system counts open files',
      fetched: 'a file is read in blocks',
      check: 'each query has a file of its own',
      count: 'its lines are not counted before they are read',
      onColumns: 'its records are objects',
      batchBytes: 'lines are short',
      values: 'a path has no values',
      bigIntegers: 'the number of a line is small',
      resumesAfterId: 'see pagesDatasource',
      readsRanges: 'it requires a query',
      readByCursor: 'see sqliteDatasource',
    },
  })
})
// #endregion

/** An API with as many items as its path says. It counts the items that it gives, and the requests that it works on. */
function itemsApi() {
  const counts = { given: 0, open: 0 }
  const server = createServer(({ url = '' }, response) => {
    counts.open++
    response.on('close', () => counts.open--)
    const { pathname, searchParams } = new URL(url, 'http://localhost')
    const [after, limit] = [Number(searchParams.get('after')), Number(searchParams.get('limit'))]
    const count = Number(pathname.slice(1))
    const ids = Array.from({ length: Math.max(0, Math.min(limit, count - after)) }, (_, index) => after + index + 1)
    if (pathname === '/blocked') return
    counts.given += ids.length
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify(ids.map((id) => ({ id }))))
  })
  return { server, counts }
}

describe('pagesDatasource', () => {
  datasourceSuite({
    test,
    async create() {
      const { server, counts } = itemsApi()
      await new Promise<void>((resolve) => server.listen(0, resolve))
      const url = `http://localhost:${(server.address() as AddressInfo).port}`
      return {
        datasource: pagesDatasource(url),
        query: (count) => ({ text: `/${count}`, values: [] }),
        blocked: { text: '/blocked', values: [] },
        held: () => counts.open,
        fetched: () => counts.given,
        async close() {
          server.closeAllConnections()
          server.close()
        },
      }
    },
    unsupported: {
      stalling: 'a page is there as a whole',
      failing: 'a page fails as a whole',
      heldBetween: 'a page is a request of its own',
      check: 'it is small',
      count: 'it is small',
      onColumns: 'its records are objects',
      batchBytes: 'the API counts items',
      values: 'a path has no values',
      bigIntegers: 'JSON has none',
      readsRanges: 'the API has no ranges',
      readByCursor: 'see sqliteDatasource',
    },
  })
})

// #region cursor
const items = `create table items (id integer primary key, pair integer, down integer, gap integer);
  with recursive n (id) as (select 1 union all select id + 1 from n where id < 1000)
  insert into items select id, (id + 1) / 2, -id, iif(id % 3 = 0, null, id) from n;
  create table big (id integer primary key);
  insert into big values (9007199254740993), (9007199254740995)`

describe.each([
  ['sqliteDatasource', sqliteDatasource, { partition: 'see partitionedSqliteDatasource' }],
  ['partitionedSqliteDatasource', partitionedSqliteDatasource, {}],
])('%s', (_, datasourceOf, unsupported) => {
  datasourceSuite({
    test,
    create() {
      const database = new Database(':memory:')
      database.exec(items)
      const query = (columns: string) => (count: number) => ({
        text: `select ${columns} from items where id <= ?`,
        values: [count],
      })
      return {
        datasource: datasourceOf(database),
        query: query('id'),
        pairs: query('id, pair, down'),
        gaps: query('id, gap'),
        bigIntegers: { text: 'select id from big', values: [] },
        between: (first, last) => `select id from items where id between ${first} and ${last}`,
        echo: (value) => `select 1 as id, ${value} as text`,
        close: async () => void database.close(),
      }
    },
    unsupported: {
      ...unsupported,
      blocked: 'SQLite works in this thread',
      stalling: 'SQLite works in this thread',
      failing: 'no query fails halfway',
      held: 'it has one connection',
      fetched: 'SQLite does not count them',
      check: 'the database is open',
      count: 'it is small',
      onColumns: 'its columns have no types',
      batchBytes: 'it counts rows',
      resumesAfterId: 'it resumes by a cursor',
      readsRanges: 'it requires a query',
      nullsFirst: 'it is small',
      parallel: 'SQLite works in this thread',
      snapshot: 'SQLite exports none',
    },
  })
})
// #endregion

// #region target
/** Records in an array: truncated to the position that a job resumes from. */
function arrayTarget(records: JobRecord[]): Target {
  return {
    kind: 'array',
    strategy: 'append',
    open({ position }) {
      if (typeof position === 'number') records.length = position
      let flushed = records.length
      const writer: TargetWriter = {
        write(batch) {
          records.push(...batch.records())
        },
        async flush() {
          flushed = records.length
          return flushed
        },
        async abort({ leaseLost }) {
          if (!leaseLost) records.length = flushed
        },
      }
      return { writer, resume: 'position' }
    },
  }
}
// #endregion

// #region suites
describe('arrayTarget', () => {
  targetSuite({
    test,
    create() {
      const records: JobRecord[] = []
      return { target: arrayTarget(records), read: () => records as TargetRecord[] }
    },
    unsupported: {
      replace: 'it appends only',
      writesAtomically: 'it rejects nothing',
      writesIdempotently: 'it appends what comes again',
      writesPartitions: 'its array has one end',
      writesDuringFlush: 'it has nothing to flush',
      acceptsEncoded: 'it stores objects',
      createEmpty: 'its array is there',
      checkpoint: 'storage keeps its checkpoints',
      truncate: 'its array is emptied by nobody',
      resetCheckpoint: 'storage keeps its checkpoints',
      isReset: 'its array is emptied by nobody else',
      check: 'its array is there',
      checkFullRefresh: 'it has no full refresh',
    },
  })
})

describe('memoryStorage', () => {
  storageSuite({
    test,
    create(options) {
      const clock = fakeClock()
      return { storage: memoryStorage({ ...options, clock }), pass: clock.advance }
    },
  })
})
// #endregion
