import { describe, expect, test } from 'vitest'
import { jsonCopyOf, lostInJson, maxJsonLength } from '../../../src/core/base/json.js'

describe('a value that JSON does not keep', () => {
  test.each([
    [{ seen: [1, 2, new Map()] }, '.seen[2]'],
    [[[{ at: new Date(0) }]], '[0][0].at'],
    [{ a: { b: Number.NaN } }, '.a.b'],
    [{ a: undefined, b: () => 1 }, '.b'],
    [5n, ''],
  ])('%o is named by its path', (value, path) => {
    expect(lostInJson(value)).toMatchObject({ path })
  })

  test('is found behind a property that is undefined, however long its name', () => {
    expect(lostInJson({ ['x'.repeat(maxJsonLength)]: undefined, b: new Map() })).toMatchObject({ path: '.b' })
  })

  test.each([[{ a: undefined }], [{ a: [null, 'x', true, { b: 1.5 }] }], [Object.create({ inherited: new Map() })]])(
    '%o loses nothing',
    (value) => {
      expect(lostInJson(value)).toBeUndefined()
    },
  )
})

describe('a JSON copy', () => {
  const keys = (count: number, value: unknown = 1) =>
    Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, value]))

  test('is refused from its maximum length on', () => {
    const longest = { text: 'x'.repeat(maxJsonLength - '{"text":""}'.length) }
    expect(jsonCopyOf(longest)).toEqual(longest)
    expect(jsonCopyOf({ text: `${longest.text}x` })).toBeUndefined()
    const largest = keys(84_000)
    expect(JSON.stringify(largest).length).toBeGreaterThan(0.9 * maxJsonLength)
    expect(jsonCopyOf(largest)).toEqual(largest)
    expect(jsonCopyOf(keys(100_000))).toBeUndefined()
  })

  test('counts no property that is undefined', () => {
    const name = 'x'.repeat(maxJsonLength)
    expect(jsonCopyOf({ [name]: undefined, a: 1 })).toEqual({ a: 1 })
  })

  test('costs no more the longer a value is that is too long', () => {
    const cost = (value: unknown) => {
      const begun = process.cpuUsage()
      lostInJson(value)
      jsonCopyOf(value)
      const { user, system } = process.cpuUsage(begun)
      return user + system
    }
    const list = (length: number) => new Array(length).fill(1)
    const least = (value: unknown) => Math.min(...Array.from({ length: 3 }, () => cost(value)))
    expect(least(list(20_000_000))).toBeLessThan(5 * least(list(2_000_000)))
  })
})
