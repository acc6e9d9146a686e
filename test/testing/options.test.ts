import { JobRegistry, memoryStorage } from 'headgate'
import {
  collectingTarget,
  datasourceSuite,
  dispatcherSuite,
  fakeClock,
  heldJob,
  recordEvents,
  storageSuite,
  targetSuite,
  testDatasource,
} from 'headgate/testing'
import { expect, test } from 'vitest'

const registry = () => new JobRegistry({ storage: memoryStorage() })
const suites = { datasourceSuite, dispatcherSuite, storageSuite, targetSuite } as unknown as Record<
  string,
  (options: object) => void
>
const given = { test: () => {}, create: () => ({}) }

test.each([
  ['an unknown fault of a target', () => collectingTarget({ failat: 1 } as never), '. Did you mean `failAt`?'],
  ['the number of a batch', () => collectingTarget({ failAt: 0 }), 'Expected `failAt` to be a whole number from 1 up'],
  [
    'the strategy of a target',
    () => collectingTarget({ strategy: 'add' as never }),
    'Expected `strategy` to be one of',
  ],
  ['a later fault of a target', () => Object.assign(collectingTarget(), { faults: { refuse: 1 } }), '`refuses`?'],
  ['a strategy as a fault', () => Object.assign(collectingTarget(), { faults: { strategy: 'append' } }), '`faults`'],
  ['an unknown fault of a datasource', () => testDatasource([], { failafter: 1 } as never), '`failAfter`?'],
  ['a later fault of a datasource', () => Object.assign(testDatasource([]), { faults: { hangafter: 1 } }), '`faults`'],
  ['records that are text', () => testDatasource('text' as never), 'Expected `records` to be an array of objects'],
  ['records that are numbers', () => testDatasource([1] as never), 'Expected `records` to be an array of objects'],
  ['rows without columns', () => testDatasource({ rows: [] } as never), 'Expected `records` to be an array of objects'],
  ['an unknown option of a recorder', () => recordEvents(registry(), { timeuot: 1 } as never), '`timeout`?'],
  ['a recorder of no registry', () => recordEvents({} as never), 'Expected `registry` to be an object with the method'],
  ['the start of a clock', () => fakeClock('x' as never), 'Expected `start` to be a number of milliseconds, got `x`'],
  [
    'an unknown option of a held job',
    () => heldJob({ type: 'a', id: 'a' }, { ignoreSignal: true } as never),
    'Signal`?',
  ],
])('%s is refused', (_, create, message) => {
  expect(create).toThrow(
    expect.objectContaining({ code: 'invalid_options', message: expect.stringContaining(message) }),
  )
})

test('a recorder waits for events that exist', async () => {
  const events = recordEvents(registry(), { timeout: 0 })
  await expect(events.waitFor('finished' as never)).rejects.toThrow('Expected `name` to be one of `status`')
  await expect(events.waitFor('status', 1 as never)).rejects.toThrow('Expected `predicate` to be a function')
})

test('records of a query are checked when it is read', async () => {
  const datasource = testDatasource((() => 'text') as never)
  const read = datasource.read(
    { text: '', values: [] },
    { batchSize: 1, lastId: undefined, signal: AbortSignal.any([]) },
  )
  await expect(read[Symbol.asyncIterator]().next()).rejects.toThrow('Expected `records` to be an array of objects')
})

test.each(Object.keys(suites))('%s refuses what it does not know', (name) => {
  const suite = (options: object) => () => suites[name]?.(options)
  expect(suite({ ...given, unsuported: {} })).toThrow('Did you mean `unsupported`?')
  expect(suite({ ...given, unsupported: { flight: 'none' } })).toThrow('Expected `unsupported` to be an object with')
  expect(suite({ create: given.create })).toThrow('Expected `test` to be a function')
  expect(suite({ test: given.test })).toThrow('Expected `create` to be a function')
})
