import { Test } from '@nestjs/testing'
import { memoryStorage } from 'headgate'
import { HeadgateModule, Job } from 'headgate/nestjs'
import { collectingTarget, testDatasource } from 'headgate/testing'
import { expect, it, onTestFinished, vi } from 'vitest'
import { silent } from './support.js'

/** The warnings of an application with a job, when it starts. */
async function warningsOf(provider: new () => object): Promise<unknown[]> {
  const warn = vi.fn()
  const imports = [HeadgateModule.forRoot({ storage: memoryStorage() })]
  const module = Test.createTestingModule({ imports, providers: [provider] }).setLogger({ ...silent, warn })
  const app = await module.compile()
  onTestFinished(() => app.close())
  await app.init()
  return warn.mock.calls.map(([message]) => message)
}

it('warns of members of a job that are almost called as one of its parts', async () => {
  @Job({ id: 'orders', datasource: testDatasource([]) })
  class Orders {
    readonly target = collectingTarget()
    readonly failure = { total: 3 }
    readonly shema = undefined
    tranform(): void {}
  }
  const notPart = (name: string, meant: string) =>
    `The member \`${name}\` of @Job [Orders] is not a part of the job. Did you mean \`${meant}\`?`
  expect((await warningsOf(Orders)).sort()).toEqual([
    notPart('failure', 'failures'),
    notPart('shema', 'schema'),
    notPart('tranform', 'transform'),
  ])
})

it('warns of members that are options of @Job', async () => {
  @Job({ id: 'orders', datasource: testDatasource([]), batchSize: 5 })
  class Orders {
    readonly target = collectingTarget()
    readonly cursor = 'id'
    readonly batchSize = 1
  }
  expect(await warningsOf(Orders)).toEqual([
    'The member `cursor` of @Job [Orders] is not a part of the job. Pass `cursor` to @Job',
  ])
})

it('does not warn of other members, nor of a part that the job has', async () => {
  @Job({ id: 'orders', datasource: testDatasource([]), schedule: { every: 60_000 } })
  class Orders {
    readonly target = collectingTarget()
    readonly targets = []
    readonly schedules = []
    readonly rates = 1
    private readonly queue = []
    toEuro(): number {
      return this.queue.length
    }
  }
  expect(await warningsOf(Orders)).toEqual([])
})

it('refuses options that are none', () => {
  expect(() => HeadgateModule.forRoot(undefined as never)).toThrow('Expected `options` to be an object, got nothing')
  expect(() => Job('orders' as never)).toThrow(
    "Expected `options` to be an object such as `{ id: 'orders' }`, as @Job takes, got `orders` (string)",
  )
})

it('refuses a method that is to be an ingestion', async () => {
  class Reports {
    weekly(): void {}
  }
  const descriptor = Object.getOwnPropertyDescriptor(Reports.prototype, 'weekly') as PropertyDescriptor
  const decorate = Job({ id: 'weekly' } as never) as unknown as MethodDecorator
  decorate(Reports.prototype, 'weekly', descriptor)
  await expect(warningsOf(Reports)).rejects.toThrow(
    '@Job of [Reports.weekly] is not valid: Expected `type` to be that of a job of your own, as a method runs it, got nothing',
  )
})

it('@Job on a static method or a getter', () => {
  const expected = 'Expected @Job to decorate a class, or a method of its instances, got'
  expect(() => Job({ type: 'a', id: 'b' })(class {} as never, 'fixed', { value: () => {} } as never)).toThrow(
    `${expected} \`fixed\``,
  )
  expect(() => Job({ type: 'a', id: 'b' })({} as never, 'made', { get: () => () => {} } as never)).toThrow(
    `${expected} \`made\``,
  )
})
