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
    expect(() => new NdjsonEncoder('string').json(value)).toThrowError('nested more than 100000 deep')
  })

  test('an array of endless length is refused', () => {
    expect(() => new NdjsonEncoder('string').json(new Array(2 ** 32 - 1))).toThrowError('larger than 20000000 members')
  })
})
