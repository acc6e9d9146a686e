import { tmpdir } from 'node:os'
import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'
import { memoryFolder } from './test/support/memory-folder.mjs'

const shared = {
  setupFiles: ['test/support/strays.ts', 'test/support/patience.ts'],
  expect: { poll: { timeout: 15_000 } },
  testTimeout: 60_000,
  hookTimeout: 60_000,
  // Databases of SQLite and other files.
  env: { TMPDIR: process.env.TMPDIR ?? memoryFolder() ?? tmpdir() },
}

/** Tests of one part at a time, in this process, that need no server: all of them take less than a minute. */
const unit = [
  'test/core/{base,cluster,dispatch,execution,scheduling}/**/*.test.ts',
  'test/core/model/schedule.test.ts',
  'test/core/registry/{adversity,bad-storages,batches,close,health,host-safety,late-answers,log-fields,loggers,misconfigured,outage,prompt-abort,ready,registry,retry,turns}.test.ts',
  'test/ingestion/contract/**/*.test.ts',
  'test/ingestion/definition/{adapters,rate-limit}.test.ts',
  'test/ingestion/run/{bad-adapters,failures,flush-meanwhile,flush-while-idle,ingestion,schema,types,unreported-counts}.test.ts',
  'test/adapters/{iterable,memory}/**/*.test.ts',
  'test/{opentelemetry,sql,testing}/**/*.test.ts',
  'test/client/{cases,client,snippets}.test.ts',
  'test/dashboard/handler.test.ts',
  'test/{claims,docs,docs-tables,options,package}.test.ts',
  'examples/unit-test.test.ts',
]

/** Tests with processes that are killed at any moment: when all others are done. */
const faults = 'test/faults/**/*.test.ts'

/** Those of them that mainly wait, or are in no hurry, and can run beside each other. The rest would starve whatever is beside it. */
const waits = [
  'test/faults/{clocks,cluster-events,connections,disk-full,dispatch-postgres,dispatch-redis,frozen,large-rows,outages,silence}.test.ts',
  'test/adapters/bullmq/{board,bullmq-5,dispatcher,emptied,engine-away,messages,mute}.test.ts',
  'test/client/browser.test.ts',
  'test/dashboard/page.test.ts',
]

/**
 * The files that take longest, which run first, so that none is left alone at the end. Without the times of an earlier run,
 * vitest would begin with the largest ones.
 */
const longest = `
  faults/large-rows faults/connections faults/dispatch-redis dashboard/page faults/dispatch-postgres faults/copies faults/refresh
  adapters/bullmq/dispatcher adapters/bullmq/board client/browser adapters/bullmq/engine-away adapters/bullmq/emptied
  examples http/mounts http/faces patterns ingestion/run/target-reset core/base/redact
  adapters/postgres/storage adapters/postgres/target adapters/postgres/target-same-rows adapters/postgres/target-jobs
  adapters/postgres/datasource-cursor-model adapters/postgres/target-values adapters/sqlite/storage
  ingestion/partitioned/partitions ingestion/partitioned/partitions-ends
  adapters/postgres/target-emptied adapters/postgres/target-replace adapters/postgres/storage-watch
  adapters/elasticsearch/target adapters/sqlite/target-values adapters/mysql/datasource adapters/mysql/target-values adapters/mysql/target-append
`
  .trim()
  .split(/\s+/)
  .map((name) => `/test/${name}.test.ts`)

/** Projects whose files run beside each other, those with the longest files first. */
const projectOrder = ['adapters', 'unit', 'waits', 'faults']

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files)
    const first = longest.flatMap((end) => sorted.filter(({ moduleId }) => moduleId.endsWith(end)))
    const inOrder = [...first, ...sorted.filter((file) => !first.includes(file))]
    return projectOrder.flatMap((name) => inOrder.filter(({ project }) => project.name === name))
  }
}

/** Files share the modules of their worker: to load them for each file would take longer than most tests. */
const isolate = false

export default defineConfig({
  test: {
    globalSetup: ['test/support/global-setup.ts', 'test/support/strays-setup.ts', 'test/support/page-setup.ts'],
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        resolve: { tsconfigPaths: true },
        test: {
          ...shared,
          name: 'unit',
          include: unit,
          isolate,
          maxWorkers: 3,
          sequence: { groupOrder: 0 },
        },
      },
      {
        resolve: { tsconfigPaths: true },
        test: {
          ...shared,
          name: 'adapters',
          include: ['test/**/*.test.ts', 'examples/**/*.test.ts'],
          exclude: [faults, ...unit, ...waits],
          isolate,
          maxWorkers: 3,
          sequence: { groupOrder: 0 },
        },
      },
      {
        resolve: { tsconfigPaths: true },
        test: { ...shared, name: 'waits', include: waits, isolate, maxWorkers: 5, sequence: { groupOrder: 1 } },
      },
      {
        resolve: { tsconfigPaths: true },
        test: {
          ...shared,
          name: 'faults',
          include: [faults],
          exclude: waits,
          isolate,
          maxWorkers: 1,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
})
