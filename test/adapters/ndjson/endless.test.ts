import { describe, expect, test } from 'vitest'
import { NdjsonEncoder } from '../../../src/adapters/shared/json-encoder.js'

describe('JSON of a value that makes new objects as it is read', () => {
  const endless: Record<string, () => object> = {
    'by toJSON': () => ({
      toJSON() {
        return { next: endless['by toJSON']?.() }
      },
    }),
    'by a getter': () =>
      Object.defineProperty({}, 'next', { enumerable: true, get: () => endless['by a getter']?.() }) as object,
    'by a proxy': () =>
      new Proxy({ next: 1 }, { get: (_, name) => (name === 'next' ? endless['by a proxy']?.() : undefined) }),
  }

  test.each(Object.keys(endless))('%s is refused', (name) => {
    const value = endless[name]?.()
    expect(() => new NdjsonEncoder('string').json(value)).toThrowError(/nested more than 100000 deep in `next\.next\./)
  })

  test('members that are shared are counted, and not written until they are too many', () => {
    let reads = 0
    const leaf = Object.defineProperty({}, 'value', { enumerable: true, get: () => ++reads })
    let halves: unknown = leaf
    for (let level = 0; level < 41; level++) halves = [halves, halves]
    const value = { few: Array.from({ length: 200_000 }, () => 1), of: [{ halves }] }
    expect(() => new NdjsonEncoder('string').json(value)).toThrowError(
      'larger than 20000000 members in `of[0].halves[0]',
    )
    expect(reads).toBeLessThan(100_000)
    let few: unknown = leaf
    for (let level = 0; level < 16; level++) few = [few, few]
    expect(JSON.parse(new NdjsonEncoder('string').json(few) ?? '').flat(20)).toHaveLength(2 ** 16)
  })

  test('an error names the place by path, however deep it is', () => {
    const inner: Record<string, unknown> = {}
    inner.self = inner
    const encoder = new NdjsonEncoder('string')
    expect(() => encoder.json({ a: { b: [{}, inner] } })).toThrowError('circular reference in `a.b[1].self`')
    expect(() => encoder.json({ a: [new Array(2 ** 32 - 1)] })).toThrowError('larger than 20000000 members in `a[0]`')
    const long = 'x'.repeat(2 ** 28)
    expect(() => encoder.json({ a: { b: [long, long, long] } })).toThrowError('longer than a string can be in `a.b[')
  })

  test('an array of endless length is refused', () => {
    expect(() => new NdjsonEncoder('string').json(new Array(2 ** 32 - 1))).toThrowError('larger than 20000000 members')
  })
})
