import { JobRegistry, memoryStorage } from 'headgate'
import { postgresDatasource } from 'headgate/postgres'
import { expect, onTestFinished, test } from 'vitest'

async function setup(cursor: string | string[]) {
  const storage = memoryStorage()
  // Nothing here connects.
  const datasource = postgresDatasource({ connectionString: 'postgres://localhost:1/none' })
  const registry = new JobRegistry({ storage })
  onTestFinished(() => registry.close({ timeout: 0 }))
  registry.define({ id: 'a', datasource, query: 'table source', cursor, target: () => {} })
  const stored = async () => (await storage.find('ingestion', 'a'))?.checkpoint as { cursor?: unknown } | undefined
  await registry.start('ingestion', 'a').then(({ finished }) => finished)
  return { stored, reset: (checkpoint: unknown) => registry.reset('ingestion', 'a', { checkpoint }) }
}

const after = (columns: string[], values: unknown[]) => ({ after: { columns, ties: 'refuse', values } })

test.each([
  ['id', { id: '77000' }, after(['id'], ['77000'])],
  ['id', { id: 77_000 }, after(['id'], ['77000'])],
  ['after', { after: 'x' }, after(['after'], ['x'])],
  [['at', 'id'], { id: 5, at: '2026-01-01' }, after(['at', 'id'], ['2026-01-01', '5'])],
  [['at', 'id'], after(['at', 'id'], ['2026-01-01', '5']), after(['at', 'id'], ['2026-01-01', '5'])],
])('a reset of the cursor %j to %j begins there', async (cursor, given, position) => {
  const { reset, stored } = await setup(cursor)
  await reset({ cursor: given })
  expect((await stored())?.cursor).toEqual(position)
})

test.each(
  [
    '77000',
    {},
    [],
    ['77000'],
    null,
    { id: '1', other: '2' },
    { id: null },
    { id: {} },
    { id: 2 ** 53 },
    after(['other'], ['1']),
    after(['id'], []),
    after(['id'], ['1', '2']),
    { after: {} },
  ].map((given) => [given]),
)('a reset to the cursor %j is refused, and the earlier one stays', async (given) => {
  const { reset, stored } = await setup('id')
  await reset({ cursor: { id: '5' } })
  await expect(reset({ cursor: given })).rejects.toThrow(/^Expected `checkpoint\.cursor/)
  expect((await stored())?.cursor).toEqual(after(['id'], ['5']))
})
