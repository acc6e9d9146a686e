import { datasourceSuite } from 'headgate/testing'
import { expect, test } from 'vitest'
import { outcomeOf } from './cases.js'
import { type DatasourceBug, soundDatasource } from './sound-datasource.js'

const outcomeWith = (bug?: DatasourceBug, unsupported = {}) =>
  outcomeOf((test) => datasourceSuite({ test, create: () => soundDatasource(bug), unsupported }))

test('a sound datasource passes every case', async () => {
  const { failed, skipped } = await outcomeWith()
  expect([Object.fromEntries(failed), skipped]).toEqual([{}, []])
})

test.concurrent.each<[DatasourceBug, string[]]>([
  ['accepts no empty query', ['read: an empty query is rejected if the datasource requires one, and otherwise read']],
  ['gives encoded rows unasked', ['read: encoded rows equal other rows, and come in accepted formats only']],
  [
    'ignores batchBytes',
    [
      'read: batches hold about batchBytes at most, and one record at least',
      'cursor: batches hold about batchBytes at most, and one record at least',
    ],
  ],
  ['checks nothing', ['check: throws when the datasource cannot be read']],
  ['ignores the signal of a check', ['check: throws the reason when its signal aborts']],
  ['holds on after a check', ['check: resolves when the datasource can be read, and holds nothing after']],
  [
    'counts one too many',
    [
      'count: returns how many records a read returns, and holds nothing after',
      'count: by a cursor, returns how many records are left',
    ],
  ],
  ['counts from the beginning', ['count: by a cursor, returns how many records are left']],
  ['estimates nonsense', ['count: an estimate is a number of records, or not known']],
  ['holds on after a count', ['count: returns how many records a read returns, and holds nothing after']],
  ['ignores the signal of a count', ['count: throws the reason when its signal aborts']],
  ['rounds integers', ['read: 64-bit integers are exact', 'cursor: resumes after a 64-bit integer']],
  ['binds no values', ['read: values stand for their placeholders']],
  ['reads all first', ['read: returns a batch as soon as its records are available']],
  ['never cancels', ['abort: of a blocked query, cancels it on the server']],
  ['holds on after an early end', ['free: nothing is held after the reader left early']],
  ['repeats the last id', ['resume: continues after the last id']],
  ['forgets its range', ['range: only its records are read, from its beginning up to its end']],
  ['keeps no snapshot', ['partition: a snapshot that is gone is reported, and another one is read']],
  [
    'ignores its limit',
    [
      'cursor: reads no more than the limit',
      'cursor: the limit includes the rest of the last group of ties',
      'lookback: does not count for the limit',
    ],
  ],
  [
    'sorts nothing',
    [
      'cursor: sorts by all its columns, not in the order of the source',
      'cursor: resumes between records that differ in the last column only',
    ],
  ],
  [
    'sorts by the first column alone',
    [
      'cursor: sorts by all its columns, not in the order of the source',
      'cursor: resumes between records that differ in the last column only',
    ],
  ],
  ['compares each column alone', ['cursor: resumes between records that differ in the last column only']],
  ['cuts ties at its limit', ['cursor: the limit includes the rest of the last group of ties']],
  [
    'reads by a cursor without the query that it requires',
    ['cursor: an empty query is rejected if the datasource requires one, and otherwise read'],
  ],
  [
    'ignores a signal by a cursor',
    [
      'cursor: an abort before the start throws the reason',
      'cursor: an abort between batches throws the reason at the next',
      'cursor: an abort during a fetch throws the reason',
      'cursor: nothing is held after the end, an early end or an abort',
    ],
  ],
  ['holds on after an early end by a cursor', ['cursor: nothing is held after the end, an early end or an abort']],
  ['ignores batchBytes by a cursor', ['cursor: batches hold about batchBytes at most, and one record at least']],
  ['rounds positions', ['cursor: resumes after a 64-bit integer']],
  ['binds no values by a cursor', ['cursor: values stand for their placeholders']],
  ['shares its place', ['read: concurrent reads do not mix']],
  ['reads a batch ahead', ['read: fetches no batch before it is asked for']],
  ['puts texts in unescaped', ['read: a text is a value, whatever its characters']],
  ['replays with a position', ['lookback: records before the position are repeated, as a replay']],
  ['counts nulls in every partition', ['partition: nulls are counted in the first range only']],
  ['makes bounds of numbers', ['partition: makes the requested number of ranges, if there is enough to split']],
  ['takes ties', ['cursor: ties are refused before a position passes them']],
  [
    'does not look back',
    ['lookback: records before the position are repeated, as a replay', 'lookback: does not count for the limit'],
  ],
  ['calls what comes again new', ['lookback: records before the position are repeated, as a replay']],
  [
    'reads nulls',
    [
      'nulls: fail the read before its first record',
      'nulls: are skipped, and counted before the first batch',
      'partition: nulls are counted in the first range only',
    ],
  ],
  ['skips nulls for first', ['nulls: come first, in the order of the other columns, and resume']],
  ['tells columns with the first record', ['columns: are told once, also when there are no records']],
  [
    'tells columns with the first record by a cursor',
    ['columns: by a cursor, are told once, also when there are no records', 'columns: are told once for all readers'],
  ],
  ['tells no columns of an empty range', ['columns: of a range, are told once, also when it has no records']],
  ['tells columns for each reader', ['columns: are told once for all readers']],
  ['names batches alike', ['parallel: every record comes once, in batches with different names']],
  [
    'partitions with gaps',
    [
      'partition: the ranges hold every record once, in order',
      'partition: the ranges lie after the position',
      'partition: a stopped partition resumes within its range',
      'partition: nulls are counted in the first range only',
    ],
  ],
])('a datasource that %s fails for it alone', async (bug, cases) => {
  const { failed } = await outcomeWith(bug)
  expect([...failed.keys()]).toEqual(cases)
})

test('a datasource whose positions lie too late fails wherever a read resumes', async () => {
  const { failed } = await outcomeWith('resumes too late')
  expect([...failed.keys()]).toEqual([
    'count: by a cursor, returns how many records are left',
    'cursor: resumes after the position of any batch',
    'cursor: resumes between records that differ in the last column only',
    'cursor: no position lies between drained ties',
    'cursor: resumes after a 64-bit integer',
    'lookback: records before the position are repeated, as a replay',
    'lookback: does not count for the limit',
    'nulls: come first, in the order of the other columns, and resume',
    'partition: the ranges lie after the position',
    'partition: a stopped partition resumes within its range',
  ])
})

test.concurrent('a datasource that never throws when it is blocked fails with what was expected', async () => {
  const { failed } = await outcomeWith('never throws when it is blocked')
  expect([...failed].map(([name, error]) => [name, (error as Error).message])).toEqual([
    [
      'abort: of a blocked query, throws the reason at once',
      'Expected an aborted read to throw the reason of its signal within 3000 ms',
    ],
    ['abort: of a blocked query, cancels it on the server', 'Expected an aborted read to end within 3000 ms'],
  ])
})

test.each<[DatasourceBug, string, string]>([
  ['skips nulls for first', 'nullsFirst', 'nulls: first is rejected, as it is unsupported'],
  ['does not look back', 'lookback', 'lookback: is rejected, as it is unsupported'],
])('a datasource that %s, and says that it does not support %s, fails', async (bug, ability, name) => {
  const { failed } = await outcomeWith(bug, { [ability]: 'it is small' })
  expect([...failed.keys()]).toEqual([name])
})

test.concurrent('a datasource that holds nothing between batches still has to cancel a query', async () => {
  const { failed, skipped } = await outcomeWith('never cancels', { heldBetween: 'a page is a request' })
  expect([...failed.keys()]).toEqual(['abort: of a blocked query, cancels it on the server'])
  expect(skipped).toHaveLength(1)
})

test('a datasource without `partition` fails, unless it says so: then the cases show as skipped', async () => {
  const { failed } = await outcomeWith('splits nothing')
  expect([...failed.keys()].every((name) => name.startsWith('partition: '))).toBe(true)
  expect(failed.size).toBe(6)
  const said = await outcomeWith('splits nothing', { partition: 'it is small' })
  expect(said.failed.size).toBe(0)
  expect(said.skipped).toHaveLength(8)
  expect(said.skipped[0]).toMatch(/ \(unsupported partition: it is small\)$/)
})
