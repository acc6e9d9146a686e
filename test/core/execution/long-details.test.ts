import { JobError, JobRegistry, memoryStorage } from 'headgate'
import { describe, expect, it } from 'vitest'

const many = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, n) => [`key ${n}`, n]))
/** Reads of it count as work. */
const watched = (reads: { count: number }) =>
  new Proxy(many(60_000), {
    get: (target, name) => {
      reads.count++
      return Reflect.get(target, name)
    },
  })

async function progressOf(update: object): Promise<unknown> {
  const registry = new JobRegistry({ storage: memoryStorage() })
  let thrown: unknown
  registry.define({
    type: 'test',
    id: 'a',
    async run({ progress, complete }) {
      try {
        progress(update)
      } catch (error) {
        thrown = error
      }
      complete()
    },
  })
  await (await registry.start('test', 'a')).finished
  await registry.close()
  return thrown
}

describe('progress', () => {
  it('with a detail of 10,000 values is accepted', async () => {
    expect(await progressOf({ detail: many(10_000) })).toBeUndefined()
  })

  it('with a checkpoint of 60,000 values is accepted', async () => {
    expect(await progressOf({ checkpoint: new Array(60_000).fill(0) })).toBeUndefined()
  })

  it.each([
    ['a detail of 60,000 values', { detail: many(60_000) }, '`detail` to be a JSON value with up to 10000 values'],
    ['a detail of an array', { detail: { list: new Array(20_000).fill(0) } }, 'with up to 10000 values in it'],
    ['a detail with a billion holes', { detail: { list: new Array(2 ** 30) } }, 'with up to 10000 values in it'],
    [
      'a detail of nested arrays',
      { detail: { list: new Array(200).fill(new Array(200).fill(0)) } },
      'up to 10000 values',
    ],
    ['a checkpoint of 100,001 values', { checkpoint: new Array(100_001).fill(0) }, 'with up to 100000 values in it'],
  ])('with %s is refused', async (_, update, message) => {
    const error = await progressOf(update)
    expect(JobError.isInstance(error) && error.code).toBe('invalid_options')
    expect((error as JobError).message).toContain(message)
  })

  it('that is refused is read no further than its limit', async () => {
    const reads = { count: 0 }
    expect(await progressOf({ detail: watched(reads) })).toBeDefined()
    expect(reads.count).toBeLessThan(10_100)
  })
})
