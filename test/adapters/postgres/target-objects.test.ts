import pg from 'pg'
import { beforeEach, expect, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { targetTests, write } from './target-support.js'

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

  test('that is a sparse array of four billion elements is refused at once', async () => {
    await make('int[]')
    const value = new Array(2 ** 32 - 1)
    await expect(write(await opened(target()), [{ value }])).rejects.toThrow('larger than 20000000 members')
  })

  test('members of JSON that are shared are counted, and not written until they are too many', async () => {
    await make('jsonb')
    let reads = 0
    let halves: unknown = Object.defineProperty({}, 'value', { enumerable: true, get: () => ++reads })
    for (let level = 0; level < 41; level++) halves = [halves, halves]
    await expect(write(await opened(target()), [{ value: { halves } }])).rejects.toThrow('larger than 20000000 members')
    expect(reads).toBeLessThan(100_000)
  })

  test('an array whose dimensions are small and whose product is not is refused at once', async () => {
    await tests.pool.query('drop table if exists t; create table t (value int[])')
    const row = Array.from({ length: 5000 }, () => 1)
    const product = Array.from({ length: 5000 }, () => row)
    let halves: unknown = 1
    for (let level = 0; level < 41; level++) halves = [halves, halves]
    const begun = performance.now()
    await expect(write(await opened(target()), [{ value: product }])).rejects.toThrow('larger than 20000000 members')
    await expect(write(await opened(target()), [{ value: halves }])).rejects.toThrow(
      'Expected an array of up to 6 dimensions',
    )
    expect(performance.now() - begun).toBeLessThan(5000)
  })

  test('that is an array is written by its elements, not by its iterator', async () => {
    await make('int[]')
    const value = Object.assign([1, 2], {
      *[Symbol.iterator]() {
        for (;;) yield 3
      },
    })
    await complete(target(), [{ value }])
    expect((await tests.pool.query('select value::text from t')).rows).toEqual([{ value: '{1,2}' }])
  })

  test('that has names without end is written by those that are mapped', async () => {
    await make('int')
    const records = Array.from({ length: 1000 }, (_, n) => ({
      value: n,
      ...Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`name ${n}/${i}`, 'x'])),
    }))
    await complete(target({ columns: { value: 'value' } }), records)
    expect((await tests.pool.query('select sum(value)::int from t')).rows).toEqual([{ sum: 499_500 }])
  })
})
