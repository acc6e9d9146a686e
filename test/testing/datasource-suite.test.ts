import type { Query } from 'headgate'
import { type DatasourceFixture, datasourceSuite, testDatasource } from 'headgate/testing'
import { describe, test } from 'vitest'

function records(count: number) {
  return Array.from({ length: count }, (_, index) => ({ id: index + 1 }))
}

/** Not in their order: a cursor puts them in it. */
function pairs(count: number) {
  return records(count)
    .map(({ id }) => ({ id, pair: Math.ceil(id / 2) }))
    .reverse()
}

/** One datasource that answers three kinds of queries: by what its `text` says. */
function create(): DatasourceFixture {
  const sources = {
    count: testDatasource(({ values: [count] }) => records(Number(count))),
    pairs: testDatasource(({ values: [count] }) => pairs(Number(count))),
    blocked: testDatasource([], { hangAfter: 0 }),
    failing: testDatasource(records(5), { failAfter: 5 }),
  }
  const sourceOf = ({ text }: Query) => sources[text as keyof typeof sources]
  return {
    datasource: { kind: 'test', readsByCursor: true, read: (query, options) => sourceOf(query).read(query, options) },
    query: (count) => ({ text: 'count', values: [count] }),
    pairs: (count) => ({ text: 'pairs', values: [count] }),
    blocked: { text: 'blocked', values: [] },
    failing: { text: 'failing', values: [] },
    held: () => Object.values(sources).flatMap(({ reads }) => reads.filter(({ state }) => state === 'open')).length,
  }
}

describe('testDatasource keeps the contract of a datasource', () => {
  datasourceSuite({
    test,
    create,
    cannot: { resume: 'it goes on only where the query says how' },
  })
})
