import type { JobRecord } from 'headgate'
import type { PostgresTargetOptions } from 'headgate/postgres'
import { beforeEach, describe, expect, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { targetTests, write } from './target-support.js'

/** Values that a column of the type cannot take: what the message says about them. */
const refused: [type: string, value: unknown, message: string][] = [
  ['text', 'a\ud800', 'Expected text, got text with half of a surrogate pair.'],
  ['text', 'a\0b', 'Expected text without NUL characters, got one that has some.'],
  ['text[]', ['a', '\0'], 'Expected text without NUL characters, got one that has some.'],
  ['text', () => 1, 'Expected a value that Postgres can hold, got a function.'],
  ['text', Symbol('a'), 'Expected a value that Postgres can hold, got a symbol.'],
  ['timestamptz', new Date(Number.NaN), 'Expected a date, got one that is invalid.'],
  ['date', new Date(Number.NaN), 'Expected a date, got one that is invalid.'],
  ['jsonb', { a: new Date(Number.NaN) }, 'Expected a date, got one that is invalid.'],
  ['jsonb', { a: [() => 1] }, 'Expected a value that JSON can hold, got a function.'],
  ['text', { a: Symbol('a') }, 'Expected a value that JSON can hold, got a symbol.'],
  ['jsonb', new Map([[1, 2]]), 'Expected a value that JSON can hold, got an object of the class Map.'],
  ['text', new Set([1]), 'Expected a value that JSON can hold, got an object of the class Set.'],
  ['jsonb', Promise.resolve(1), 'Expected a value that JSON can hold, got an object of the class Promise.'],
  [
    'bytea',
    new ArrayBuffer(1),
    'Expected a value that Postgres reads as `bytea`, got an object of the class ArrayBuffer: give its text.',
  ],
  ['int[]', [[[[[[[1]]]]]]], 'Expected an array of up to 6 dimensions, got one of more.'],
  ['int[]', [[1], [1, 2]], 'Expected an array whose inner arrays have the same length, got the lengths 1 and 2.'],
  [
    'int[]',
    [
      [[1], [2]],
      [[3], [4, 5]],
    ],
    'Expected an array whose inner arrays have the same length, got the lengths 1 and 2.',
  ],
  ['int[]', [[1], null], 'Expected an array whose elements in dimension 1 are all arrays, got an array and a value.'],
]

const ways: [way: string, options: Partial<PostgresTargetOptions>][] = [
  ['append', {}],
  ['upsert', { mode: 'upsert', key: ['id'] }],
  ['replace by rows', { strategy: 'replace', swap: 'rows' }],
  ['replace by rename', { strategy: 'replace', swap: 'rename' }],
]

describePostgres('a value that is refused', (database) => {
  const support = targetTests(database)
  beforeEach(() => support.pool.query('drop table if exists t, headgate_checkpoint'))

  describe.each(ways)('by %s', (way, options) => {
    test('is named with its column, what was expected and what came', async () => {
      const types = [...new Set(refused.map(([type]) => type))]
      const columns = types.map((type, index) => `c${index} ${type}`)
      await support.pool.query(`create table t (id int primary key, ${columns.join(', ')})`)
      // All ways write with the same encoder, so that each of the others has a few of the values.
      for (const [type, value, message] of way === 'append' ? refused : refused.filter((_, at) => at % 5 === 0)) {
        const name = `c${types.indexOf(type)}`
        const writer = await support.opened(support.target(options))
        const records: JobRecord[] = [
          { id: 1, [name]: null },
          { id: 2, [name]: value },
        ]
        const failure = (async () => {
          await write(writer, records)
          await writer.flush?.(undefined as never)
        })()
        await expect(failure, message).rejects.toMatchObject({
          code: 'target',
          message: `The column \`${name}\` cannot be written. ${message}`,
        })
        await writer.abort?.({ reason: 'over', leaseLost: false })
      }
    })
  })

  test('because its own code throws is named too, with that error as the cause', async () => {
    await support.pool.query('create table t (value text)')
    const value = {
      toJSON() {
        throw new Error('away')
      },
    }
    await expect(write(await support.opened(support.target()), [{ value }])).rejects.toMatchObject({
      message: 'The column `value` cannot be written.',
      cause: { message: 'away' },
    })
  })
})
