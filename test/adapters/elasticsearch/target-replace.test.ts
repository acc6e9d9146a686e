import { beforeEach, describe, expect, test } from 'vitest'
import { describeOpensearch } from '../../support/opensearch.js'
import { abortWriters, complete, context, failureOf, indexTests, opened, write } from './target-support.js'

const records = (first: number, last: number) =>
  Array.from({ length: last - first + 1 }, (_, n) => ({ id: first + n, n: first + n }))

describeOpensearch('replace', (server) => {
  const { nextIndex, target, hits } = indexTests(server)
  let alias = ''
  abortWriters()
  beforeEach(() => {
    alias = nextIndex()
  })

  const replacing = (more = {}) => target({ strategy: 'replace', maxShrink: 1, ...more })
  const generations = async () => Object.keys(await server.send<object>('GET', `/${alias}-headgate-*`)).sort()
  const live = async () => Object.keys(await server.send<object>('GET', `/_alias/${alias}`).catch(() => ({})))
  const ids = async () => (await hits(alias)).map(({ _id }) => Number(_id)).sort((a, b) => a - b)

  test('swaps the alias in one step, tells the counts, and keeps as many replaced indexes as told', async () => {
    expect(await complete(replacing({ maxShrink: 0.5 }), records(1, 4))).toEqual({ how: 'alias', before: 0, after: 4 })
    const [first] = await live()
    expect(await complete(replacing({ maxShrink: 0.5 }), records(3, 5))).toEqual({ how: 'alias', before: 4, after: 3 })
    expect([await ids(), (await generations()).includes(first as string)]).toEqual([[3, 4, 5], true])
    await complete(replacing(), records(7, 7))
    expect([(await generations()).length, (await generations()).includes(first as string)]).toEqual([2, false])
    await complete(replacing({ keep: 0 }), records(8, 8))
    expect([await generations(), await ids()]).toEqual([await live(), [8]])
  })

  test('keeps the filter of the alias and the refresh interval of the settings, and gives the mapping of the columns', async () => {
    await server.send('PUT', `/${alias}-of-before`, { aliases: { [alias]: { filter: { range: { n: { gt: 1 } } } } } })
    await complete(replacing({ settings: { number_of_replicas: 0, refresh_interval: '7s' } }), records(1, 3))
    const [name = ''] = await live()
    const found = await server.send<Record<string, { aliases: object; settings: { index: object } }>>('GET', `/${name}`)
    expect(found[name]).toMatchObject({
      aliases: { [alias]: { filter: { range: { n: { gt: 1 } } } } },
      settings: { index: { refresh_interval: '7s' } },
    })
    expect(await ids()).toEqual([2, 3])
    // No generation of the target.
    expect(await server.send('GET', `/${alias}-of-before`)).toBeDefined()
  })

  test('refuses too few documents, leaves the alias, and deletes the new index', async () => {
    await complete(replacing(), records(1, 10))
    const before = await live()
    const failure = await failureOf(complete(replacing({ maxShrink: 0.5 }), records(1, 4)))
    expect(failure.message).toContain(`Refused to replace the 10 records of \`${alias}\` by 4`)
    expect([await live(), await generations()]).toEqual([before, before])
  })

  test('refuses an index in place of an alias, and says the way out', async () => {
    await server.send('PUT', `/${alias}`)
    const failure = await failureOf(opened(replacing()))
    expect(failure.message).toMatch(/to be an alias or missing.*got an index\..*clone it/)
    await expect(replacing().check?.(new AbortController().signal)).rejects.toMatchObject({ message: failure.message })
  })

  test('refuses a template that shows the new index to searches', async () => {
    const body = { index_patterns: [`${alias}-headgate-*`], template: { aliases: { [alias]: {} } } }
    await server.send('PUT', `/_index_template/${alias}`, body)
    try {
      const { writer } = await opened(replacing())
      expect((await failureOf(write(writer, records(1, 1)))).message).toContain('take the alias out of the template')
    } finally {
      await server.send('DELETE', `/_index_template/${alias}`)
    }
  })

  test('a template that changes the mapping refuses documents, and leaves the alias', async () => {
    await complete(replacing(), records(1, 3))
    const template = { mappings: { properties: { n: { type: 'ip' } } }, settings: { number_of_shards: 1 } }
    await server.send('PUT', `/_index_template/${alias}`, { index_patterns: [`${alias}-headgate-*`], template })
    try {
      const { writer } = await opened(replacing())
      await write(writer, records(4, 6))
      expect((await failureOf(writer.flush?.(null))).message).toContain('3 documents were refused')
      expect(await ids()).toEqual([1, 2, 3])
    } finally {
      await server.send('DELETE', `/_index_template/${alias}`)
    }
  })

  test('finds documents that are gone before the swap', async () => {
    const { writer } = await opened(replacing())
    await write(writer, records(1, 5))
    await writer.flush?.(null)
    const [name] = await generations()
    await server.send('POST', `/${name}/_refresh`)
    await server.send('DELETE', `/${name}/_doc/3`)
    expect((await failureOf(writer.commit?.())).message).toMatch(/^Expected 5 documents in .*, found 4/)
    expect(await live()).toEqual([])
  })

  describe('two executions', () => {
    test('of one job: the earlier one can neither write nor swap', async () => {
      const { writer: lost } = await opened(replacing())
      await write(lost, records(1, 2))
      const position = await lost.flush?.(null)
      const { writer, resume } = await opened(replacing(), { position, isResumed: true })
      expect(resume).toBe('position')
      await write(lost, records(90, 91))
      expect((await failureOf(lost.flush?.(null))).message).toContain('index_not_found_exception')
      expect(await failureOf(lost.commit?.())).toBeDefined()
      await write(writer, records(3, 4))
      await writer.flush?.(null)
      await writer.commit?.()
      expect(await ids()).toEqual([1, 2, 3, 4])
    })

    test('of one job: the earlier one does not swap what the later one has begun', async () => {
      const { writer: lost } = await opened(replacing())
      await write(lost, records(1, 2))
      const position = await lost.flush?.(null)
      await opened(replacing(), { position, isResumed: true })
      expect(await failureOf(lost.commit?.())).toMatchObject({ code: 'lease_lost' })
      expect([await live(), (await generations()).length]).toEqual([[], 1])
    })

    test.each([true, false])(
      'of two jobs: the second swap fails, where there was an alias before: %s',
      async (wasThere) => {
        if (wasThere) await complete(replacing(), records(1, 1))
        const { writer: one } = await opened(replacing())
        const { writer: other } = await opened(replacing(), { id: 'other' })
        await write(one, records(2, 2))
        await write(other, records(3, 3))
        await one.commit?.()
        expect(await failureOf(other.commit?.())).toMatchObject({ code: 'lease_lost' })
        expect(await ids()).toEqual([2])
      },
    )
  })

  test('without `id`, a run that resumes starts over in another index', async () => {
    const to = replacing({ id: undefined })
    const { writer } = await opened(to)
    await write(writer, records(1, 2))
    const position = await writer.flush?.(null)
    const { writer: next, resume } = await opened(to, { position, isResumed: true })
    expect(resume).toBe('restart')
    await write(next, records(1, 3))
    await next.commit?.()
    expect((await hits(alias)).length).toBe(3)
  })

  test('an index that another job loads stays, and so does one that no job has made', async () => {
    await server.send('PUT', `/${alias}-headgate-of-a-user`)
    const { writer: other } = await opened(replacing(), { id: 'other' })
    await write(other, records(1, 2))
    await complete(replacing({ keep: 0 }), records(5, 6))
    await complete(replacing({ keep: 0 }), records(7, 8))
    expect(await generations()).toHaveLength(3)
    await other.abort?.({ reason: 'over', leaseLost: false })
  })

  test('an abort of a run that cannot resume deletes its index', async () => {
    const { writer } = await opened(replacing(), { ...context(), isResumable: false })
    await write(writer, records(1, 2))
    await writer.abort?.({ reason: 'over', leaseLost: false })
    expect(await generations()).toEqual([])
  })
})
