import type { Query } from 'headgate/adapter'
import { type DatasourceFixture, datasourceSuite, testDatasource } from 'headgate/testing'
import { describe, test } from 'vitest'

function records(count: number) {
  return Array.from({ length: count }, (_, index) => ({ id: index + 1 }))
}

function pairs(count: number) {
  return records(count).map(({ id }) => ({ id, pair: Math.ceil(id / 2), down: -id }))
}

/** One datasource that answers three kinds of queries: by what its `text` says. */
function create(): DatasourceFixture {
  const sources = {
    none: testDatasource([]),
    count: testDatasource(({ values: [count] }) => records(Number(count))),
    pairs: testDatasource(({ values: [count] }) => pairs(Number(count))),
    gaps: testDatasource(({ values: [count] }) =>
      records(Number(count)).map(({ id }) => ({ id, gap: id % 3 === 0 ? null : id })),
    ),
    big: testDatasource([{ id: 9007199254740993n }, { id: 9007199254740995n }]),
    blocked: testDatasource([], { hangAfter: 0 }),
    stalling: testDatasource(records(5), { hangAfter: 5 }),
    failing: testDatasource(records(5), { failAfter: 5 }),
  }
  const sourceOf = ({ text }: Query) => sources[text as keyof typeof sources] ?? sources.none
  return {
    datasource: {
      kind: 'test',
      capabilities: { keepsConsistency: ['statement', 'snapshot', 'pages'] },
      read: (query, options) => sourceOf(query).read(query, options),
      readByCursor: (query, options) => sourceOf(query).readByCursor(query, options),
      partition: (query, options) => sourceOf(query).partition(query, options),
      count: (query, options) => sourceOf(query).count(query, options),
    },
    query: (count) => ({ text: 'count', values: [count] }),
    pairs: (count) => ({ text: 'pairs', values: [count] }),
    gaps: (count) => ({ text: 'gaps', values: [count] }),
    bigIntegers: { text: 'big', values: [] },
    blocked: { text: 'blocked', values: [] },
    stalling: { text: 'stalling', values: [] },
    failing: { text: 'failing', values: [] },
    held: () => Object.values(sources).flatMap(({ reads }) => reads.filter(({ state }) => state === 'open')).length,
  }
}

describe('testDatasource keeps the contract of a datasource', () => {
  datasourceSuite({
    test,
    create,
    unsupported: {
      onColumns: 'its records are objects',
      resumesAfterId: 'it resumes only where the query says how',
      readsRanges: 'it has a query',
      batchBytes: 'its records are those of a test, and few',
      values: 'its queries are up to the test',
      fetched: 'its records are in memory',
      check: 'its records are in memory',
    },
  })
})
