import { type Consistency, type Datasource, type IngestionJob, JobRegistry, memoryStorage } from 'headgate'
import { testDatasource } from 'headgate/testing'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

describe('the consistency of a run', () => {
  let registry: JobRegistry
  beforeEach(() => {
    registry = new JobRegistry({ storage: memoryStorage() })
  })
  afterEach(() => registry.close())

  function sourceThat(keepsConsistency?: readonly Consistency[], snapshot?: string): Datasource {
    return {
      ...testDatasource([{ id: 1 }]),
      capabilities: keepsConsistency ? { keepsConsistency } : {},
      partition: async () => ({ bounds: ['2'], snapshot, release: async () => {} }),
    }
  }

  const define = (job: Partial<IngestionJob>) =>
    registry.define({ id: 'copy', datasource: sourceThat(), cursor: 'id', target: () => {}, ...job })

  async function reported(job: Partial<IngestionJob>): Promise<unknown> {
    define(job)
    const { state, detail } = await (await registry.start('ingestion', 'copy')).finished
    expect(state).toBe('successful')
    return detail?.consistency
  }

  test.each<[string, Partial<IngestionJob>, Consistency | undefined]>([
    ['a datasource that keeps none', {}, undefined],
    ['partitions without a snapshot', { partitions: 2 }, undefined],
    [
      'partitions without a snapshot that keep one each',
      { datasource: sourceThat(['statement']), partitions: 2 },
      undefined,
    ],
    ['the default, which the datasource does not keep', { datasource: sourceThat(['pages']) }, undefined],
    ['the default, which the datasource keeps', { datasource: sourceThat(['pages', 'statement']) }, 'statement'],
    [
      'another one that the datasource keeps',
      { datasource: sourceThat(['pages', 'statement']), cursor: { columns: 'id', consistency: 'pages' } },
      'pages',
    ],
    ['partitions with a snapshot', { datasource: sourceThat(['snapshot'], 'one'), partitions: 2 }, 'snapshot'],
  ])('is reported only as the datasource keeps it: %s', async (_, job, consistency) => {
    expect(await reported(job)).toBe(consistency)
  })

  test.each<[string, Partial<IngestionJob>, string]>([
    ['none', {}, '`cursor.consistency` to be omitted, as the datasource [test] keeps none, got `statement`'],
    [
      'others',
      { datasource: sourceThat(['snapshot', 'pages']) },
      '`cursor.consistency` to be `snapshot` or `pages`, which the datasource [test] keeps, got `statement`',
    ],
    [
      'no snapshot of its partitions',
      { datasource: sourceThat(['statement']), partitions: 2 },
      '`cursor.consistency` to be omitted with `partitions`, as the datasource [test] does not keep `snapshot`, got `statement`',
    ],
  ])('is refused by define when the datasource keeps %s', (_, job, message) => {
    expect(() => define({ cursor: { columns: 'id', consistency: 'statement' }, ...job })).toThrow(message)
  })
})
