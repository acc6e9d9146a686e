import pg from 'pg'
import { beforeEach, expect, test } from 'vitest'
import { describePostgres } from '../support/describe-postgres.js'
import { targetTests, write } from './_postgres.js'

class Amount {
  readonly #digits: string
  constructor(digits: string) {
    this.#digits = digits
  }
  toJSON(): string {
    return this.#digits
  }
}

describePostgres('an object', (database) => {
  const tests = targetTests(database)
  const { target, opened, complete } = tests
  const make = (type: string) => tests.pool.query(`create table t (value ${type})`)
  beforeEach(() => tests.pool.query('drop table if exists t, headgate_checkpoint'))

  test.each<[type: string, value: unknown, text: string]>([
    ['interval', pg.types.getTypeParser(1186)('1 year 2 mons'), '1 year 2 mons'],
    ['interval[]', [pg.types.getTypeParser(1186)('3 days 04:05:06.789')], '{"3 days 04:05:06.789"}'],
    ['numeric', new Amount('1.10'), '1.10'],
    ['text', new Amount('1.10'), '1.10'],
    ['jsonb', new Amount('1.10'), '"1.10"'],
    ['text', new URL('http://a/b'), 'http://a/b'],
    ['int', Object(5), '5'],
    ['text', { a: [1, {}] }, '{"a":[1,{}]}'],
    ['text', Object.create(null), '{}'],
    ['text', '\u{1d11e}\t', '\u{1d11e}\t'],
  ])('goes to a column of the type %s as what it says it is (%j)', async (type, value, text) => {
    await make(type)
    await complete(target(), [{ value }])
    expect((await tests.pool.query('select value::text from t')).rows).toEqual([{ value: text }])
  })

  test.each<[type: string, value: unknown, got: string]>([
    ['interval', { months: 1 }, 'an object of the class Object'],
    ['int4range', [1, 5], 'an array'],
    ['int[]', {}, 'an object of the class Object'],
    ['bytea', { a: 1 }, 'an object of the class Object'],
    ['bytea', new ArrayBuffer(2), 'an object of the class ArrayBuffer'],
    ['bytea', new Uint16Array(1), 'an object of the class Uint16Array'],
    ['jsonb', Promise.resolve(1), 'an object of the class Promise'],
    ['text', Promise.resolve(1), 'an object of the class Promise'],
    ['jsonb', { a: [new Map([[1, 2]])] }, 'an object of the class Map'],
    ['text', 'a\ud800', 'half of a surrogate pair'],
    ['text[]', ['\udc00'], 'half of a surrogate pair'],
  ])('is refused by a column of the type %s that would take it for something else (%j)', async (type, value, got) => {
    await make(type)
    const writer = await opened(target())
    await expect(write(writer, [{ value: null }, { value }])).rejects.toMatchObject({
      code: 'target',
      message: expect.stringContaining(got),
    })
  })
})
