import { type IngestionJob, type JobRecord, JobRegistry, memoryStorage, type Target } from 'headgate'
import { iterableDatasource } from 'headgate/iterable'
import { expect, onTestFinished, test } from 'vitest'

/** What these tests need of a system. */
export interface MappedTable {
  /** A target over the table `t`, which has the columns `id` and `name`. */
  target(columns?: Readonly<Record<string, string>>): Target
  /** Creates the table. */
  create(): Promise<void>
}

/** Tests of columns that a target maps, and that no record has. */
export function unmetColumnsTests({ target, create }: MappedTable): void {
  const run = async (
    records: JobRecord[],
    columns?: Readonly<Record<string, string>>,
    job: Partial<IngestionJob> = {},
  ) => {
    await create()
    const warnings: string[] = []
    const ignore = () => undefined
    const warn = (_: object, text: string) => void warnings.push(text)
    const registry = new JobRegistry({
      storage: memoryStorage(),
      logger: { debug: ignore, info: ignore, error: ignore, warn },
    })
    onTestFinished(() => registry.close())
    registry.define({ id: 'a', datasource: iterableDatasource(records), batchSize: 1, target: target(columns), ...job })
    const { state } = await (await registry.start('ingestion', 'a')).finished
    return [state, ...warnings]
  }
  const mapped = { idd: 'id', name: 'name' }

  test('a run warns of a mapped column that no record had', async () => {
    expect(await run([{ id: 1, name: 'a' }, { name: 'b' }], mapped)).toEqual([
      'successful',
      'Job [ingestion/a]: No record of this run had the column `idd`, which `target.columns` names, so nothing was written there: ' +
        'the records had id, name. Correct `columns.idd`, or remove it.',
    ])
  })

  test.each<[string, JobRecord[], Readonly<Record<string, string>>?]>([
    ['a column that one record had', [{ name: 'a' }, { idd: 2, name: 'b' }, { name: 'c' }], mapped],
    ['a column whose value is undefined', [{ idd: undefined, name: 'a' }], mapped],
    ['any column without records', [], mapped],
    ['any column without `columns`', [{ name: 'a' }]],
  ])('a run does not warn of %s', async (_, records, columns) => {
    expect(await run(records, columns)).toEqual(['successful'])
  })

  test('a transform decides which columns the records have', async () => {
    const records = [{ idd: 1, name: 'a' }]
    const transform = ({ name }: JobRecord) => ({ name })
    expect(await run(records, mapped, { transform })).toEqual([
      'successful',
      expect.stringContaining(
        'had the column `idd`, which `target.columns` names, so nothing was written there: the records had name.',
      ),
    ])
  })
}
