import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type IngestionJob, JobRegistry, memoryStorage, type Target } from 'headgate'
import { iterableDatasource } from 'headgate/iterable'
import { ndjsonFile } from 'headgate/ndjson'
import { collectingTarget } from 'headgate/testing'
import { describe, expect, onTestFinished, test } from 'vitest'
import { people } from '../people.js'

const warning =
  /^Job \[ingestion\/a\]: This run begins from the beginning, although .* The target \[[a-z-]+\] appends, so/

/** A registry with a job, and the warnings that its runs log. */
function define(job: Partial<IngestionJob>) {
  const warnings: string[] = []
  const nothing = () => {}
  const logger = {
    debug: nothing,
    info: nothing,
    error: nothing,
    warn: (_: object, text: string) => warnings.push(text),
  }
  const registry = new JobRegistry({ storage: memoryStorage(), logger })
  onTestFinished(() => registry.close())
  registry.define({
    id: 'a',
    datasource: iterableDatasource(people(1, 3)),
    target: collectingTarget(),
    ...job,
  } as never)
  const run = async (options = {}) => {
    warnings.length = 0
    const { state } = await (await registry.start('ingestion', 'a', options)).finished
    return [state, ...warnings]
  }
  return { registry, run }
}

const withCapabilities = (capabilities: Target['capabilities']): Target => ({
  ...collectingTarget(),
  ...(capabilities && { capabilities }),
})

describe('a run that begins from the beginning, although the job has written before', () => {
  test.each<[string, Partial<IngestionJob>]>([
    ['without positions', {}],
    ['that always starts over', { cursor: 'id', resume: 'restart' }],
    ['with a target that full refreshes empty', { target: withCapabilities({ onFullRefresh: 'truncate' }) }],
    [
      'with partitions',
      {
        datasource: iterableDatasource(() => people(1, 3)),
        partitions: [2],
        target: withCapabilities({ writesPartitions: true }),
      },
    ],
  ])('warns, but not the first one: a job %s', async (_, job) => {
    const { run } = define(job)
    expect(await run()).toEqual(['successful'])
    expect(await run()).toEqual(['successful', expect.stringMatching(warning)])
    expect(await run()).toEqual(['successful', expect.stringMatching(warning)])
  })

  test.each<[string, Partial<IngestionJob>]>([
    ['resumes', { cursor: 'id' }],
    ['has a function, which may write as it likes', { target: () => {} }],
    ['merges', { target: withCapabilities({ onFullRefresh: 'merge' }) }],
    ['writes idempotently', { target: withCapabilities({ writesIdempotently: true }) }],
    ['replaces', { target: { ...collectingTarget(), strategy: 'replace' } }],
    ['has read nothing before', { datasource: iterableDatasource([]) }],
  ])('says nothing where nothing is written twice: the job %s', async (_, job) => {
    const { run } = define(job)
    expect(await run()).toEqual(['successful'])
    expect(await run()).toEqual(['successful'])
  })

  test('says nothing of runs with other parameters, which select other records', async () => {
    const { run } = define({})
    for (const day of [1, 2]) expect(await run({ params: { day } })).toEqual(['successful'])
    expect(await run({ params: { day: 1 } })).toEqual(['successful', expect.stringMatching(warning)])
  })

  test('warns after a reset to the beginning, and not in a full refresh', async () => {
    const records: object[] = []
    const empty = async () => void records.splice(0)
    const writer = { write: (batch: { records(): object[] }) => void records.push(...batch.records()), truncate: empty }
    const target = { kind: 'own', capabilities: { onFullRefresh: 'truncate' }, open: () => ({ writer }) } as Target
    const { registry, run } = define({ cursor: 'id', target })
    expect(await run()).toEqual(['successful'])
    expect(await run({ fullRefresh: true })).toEqual(['successful'])
    await registry.reset('ingestion', 'a')
    expect(await run()).toEqual(['successful', expect.stringMatching(warning)])
    expect(records).toHaveLength(6)
  })

  test('warns in a retry of an execution that has written', async () => {
    let tries = 0
    const write = () => {
      if (++tries === 2) throw Object.assign(new Error('lost'), { code: 'ECONNRESET' })
    }
    const target: Target = { kind: 'own', open: () => ({ writer: { write } }) }
    const { run } = define({ batchSize: 2, target, retry: { limit: 1, delay: 1 } })
    const retrying = expect.stringContaining('retrying')
    expect(await run()).toEqual(['successful', retrying, expect.stringMatching(warning)])
  })

  test('says nothing where the target was emptied since', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'headgate-'))
    onTestFinished(() => rm(folder, { recursive: true }))
    const path = join(folder, 'people.ndjson')
    const { run } = define({ target: ndjsonFile({ path, strategy: 'append' }) })
    expect(await run()).toEqual(['successful'])
    expect(await run()).toEqual(['successful', expect.stringMatching(warning)])
    await rm(path)
    expect(await run()).toEqual(['successful'])
  })
})

describe('a cursor that is extended, or drains ties now', () => {
  const extended: Partial<IngestionJob> = { cursor: ['id', 'name'] }
  test.each<[string, Partial<IngestionJob>, boolean]>([
    ['more columns', extended, true],
    ['ties that are drained', { cursor: { columns: 'id', ties: 'drain' } }, true],
    ['the same cursor', {}, false],
    ['a target that merges', { ...extended, target: withCapabilities({ writesIdempotently: true }) }, false],
  ])('warns of the records that come again: %s', async (_, more, isWarned) => {
    const job = { cursor: 'id', target: more.target ?? collectingTarget() }
    const { registry, run } = define(job)
    expect(await run()).toEqual(['successful'])
    registry.remove('ingestion', 'a')
    registry.define({
      id: 'a',
      datasource: iterableDatasource(people(1, 3)),
      ...job,
      ...more,
    } as never)
    const again = expect.stringMatching(/The `cursor` has more columns than before, or drains ties now/)
    expect(await run()).toEqual(['successful', ...(isWarned ? [again] : [])])
  })
})
