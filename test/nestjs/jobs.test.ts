import { Inject, Injectable, Module, Scope } from '@nestjs/common'
import { type CronSchedule, type EndedStatus, type JobContext, JobError, JobRegistry, memoryStorage } from 'headgate'
import { getRegistryToken, HeadgateModule, InjectRegistry, Job } from 'headgate/nestjs'
import { collectingTarget, fakeClock, recordEvents, testDatasource } from 'headgate/testing'
import { describe, expect, it, vi } from 'vitest'
import { compile, start } from './support.js'

@Injectable()
class Rates {
  toEuro(cents: number): number {
    return cents / 100
  }
}

@Job({ type: 'report', id: 'daily' })
class DailyReport {
  readonly ended: EndedStatus[] = []
  @Inject(Rates) readonly rates!: Rates

  run({ progress }: JobContext): void {
    progress({ count: this.rates.toEuro(700) })
  }

  onEnd(status: EndedStatus): void {
    this.ended.push(status)
  }
}

// #region methods
@Injectable()
class Reports {
  readonly ran: string[] = []

  @Job({ type: 'report', id: 'weekly' })
  weekly({ status }: JobContext): void {
    this.ran.push(status.id)
  }

  @Job({ type: 'report', id: 'monthly' })
  @Job({ type: 'report', id: 'yearly' })
  async others({ status }: JobContext): Promise<void> {
    this.ran.push(status.id)
  }
}
// #endregion

const shop = () => testDatasource([{ id: 1, cents: 250 }])

@Job({ id: 'orders', datasource: 'shop', query: 'select * from orders' })
class Orders {
  readonly target = collectingTarget()
  @Inject(Rates) readonly rates!: Rates

  transform({ id, cents }: { id: number; cents: number }): object {
    return { id, euros: this.rates.toEuro(cents) }
  }
}

const memory = () => ({ storage: memoryStorage() })

async function run(registry: JobRegistry, type: string, id: string): Promise<EndedStatus> {
  return (await registry.start(type, id)).finished
}

describe('jobs of a Nest application', () => {
  it('are classes, whose dependencies Nest injects', async () => {
    const app = await start({ imports: [HeadgateModule.forRoot(memory())], providers: [Rates, DailyReport] })
    expect(await run(app.get(JobRegistry), 'report', 'daily')).toMatchObject({ state: 'successful', count: 7 })
    await expect.poll(() => app.get(DailyReport).ended).toMatchObject([{ state: 'successful' }])
  })

  it('are methods of any provider or controller', async () => {
    const app = await start({ imports: [HeadgateModule.forRoot(memory())], controllers: [Reports] })
    for (const id of ['weekly', 'monthly', 'yearly']) await run(app.get(JobRegistry), 'report', id)
    expect(app.get(Reports).ran).toEqual(['weekly', 'monthly', 'yearly'])
  })

  it('are ingestions, with what the class has of their definition', async () => {
    const imports = [HeadgateModule.forRoot({ ...memory(), datasources: { shop: shop() } })]
    const app = await start({ imports, providers: [Rates, Orders] })
    expect(await run(app.get(JobRegistry), 'ingestion', 'orders')).toMatchObject({ state: 'successful', count: 1 })
    expect(app.get(Orders).target.records).toEqual([{ id: 1, euros: 2.5 }])
  })

  it('take a query, a schedule and failures from the class, and options first', async () => {
    @Job({ id: 'orders', datasource: 'shop', pkField: 'id', target: () => {} })
    class Configured {
      readonly schedule: CronSchedule = { cron: '0 6 * * *' }
      target() {
        throw new Error('The target of the options comes first.')
      }
      readonly asked: unknown[] = []
      query({ params }: { params?: object }) {
        this.asked.push(params)
        return { text: 'select 1', values: [] }
      }
    }
    const imports = [HeadgateModule.forRoot({ ...memory(), datasources: { shop: shop() } })]
    const app = await start({ imports, providers: [Configured] })
    const registry = app.get(JobRegistry)
    expect(registry.nextRun('ingestion', 'orders')).toBeDefined()
    expect(await run(registry, 'ingestion', 'orders')).toMatchObject({ state: 'successful' })
    expect(app.get(Configured).asked).toHaveLength(1)
  })

  it('run by their schedules, once the application has started', async () => {
    const clock = fakeClock()
    const ran = vi.fn()
    class Cleanup {
      @Job({ type: 'cleanup', id: 'old', schedule: { every: 60_000 } })
      old() {
        ran()
      }
    }
    const app = await compile({ imports: [HeadgateModule.forRoot({ ...memory(), clock })], providers: [Cleanup] })
    await clock.advance(120_000)
    expect(ran).not.toHaveBeenCalled()
    await app.init()
    const events = recordEvents(app.get(JobRegistry))
    await clock.advance(60_000)
    await events.waitFor('status', ({ status }) => status.state === 'successful')
    expect(ran).toHaveBeenCalledTimes(1)
  })

  it('are not there before all modules are initialized', async () => {
    class Slow {
      @InjectRegistry() readonly registry!: JobRegistry
      seen: boolean | undefined
      onModuleInit() {
        this.seen = this.registry.has('report', 'weekly')
      }
    }
    const app = await start({ imports: [HeadgateModule.forRoot(memory())], providers: [Slow, Reports] })
    expect(app.get(Slow).seen).toBe(false)
    expect(app.get(JobRegistry).has('report', 'weekly')).toBe(true)
  })

  it('are in any module, which gets the registry without an import', async () => {
    @Injectable()
    class Feature {
      @InjectRegistry() readonly registry!: JobRegistry
      @Job({ type: 'feature', id: 'a' })
      run() {}
    }
    @Module({ providers: [Feature] })
    class FeatureModule {}
    const app = await start({ imports: [FeatureModule, HeadgateModule.forRoot(memory())] })
    expect(app.get(Feature, { strict: false }).registry.has('feature', 'a')).toBe(true)
  })

  it('are there when others start, whose hooks may start them', async () => {
    class Starter {
      @InjectRegistry() readonly registry!: JobRegistry
      status: EndedStatus | undefined
      async onApplicationBootstrap() {
        this.status = await run(this.registry, 'report', 'weekly')
      }
    }
    const app = await start({ imports: [HeadgateModule.forRoot(memory())], providers: [Starter, Reports] })
    expect(app.get(Starter).status?.state).toBe('successful')
  })

  it('are defined once for a provider that has two names', async () => {
    const providers = [Reports, { provide: 'alias', useExisting: Reports }]
    const app = await start({ imports: [HeadgateModule.forRoot(memory())], providers })
    expect(app.get(JobRegistry).has('report', 'weekly')).toBe(true)
  })

  it('also come from factories', async () => {
    const providers = [{ provide: 'reports', useFactory: () => new Reports() }]
    const app = await start({ imports: [HeadgateModule.forRoot(memory())], providers })
    expect(app.get(JobRegistry).has('report', 'weekly')).toBe(true)
  })
})

describe('the start fails', () => {
  const failure = async (...providers: (new () => object)[]) => {
    const app = await compile({ imports: [HeadgateModule.forRoot(memory())], providers })
    const error = await app.init().catch((error: unknown) => error)
    expect(JobError.isInstance(error)).toBe(true)
    return String((error as JobError).message)
  }

  it('for an option that is not valid, and names the class', async () => {
    @Job({ type: 'report', id: 'daily', schedule: { cron: 'never' } })
    class BadSchedule {
      run() {}
    }
    expect(await failure(BadSchedule)).toMatch(/^@Job of \[BadSchedule\] is not valid: .*schedule.*got `?'?never/)
  })

  it('for a method, and names it', async () => {
    class Bad {
      @Job({ type: 'report', id: '' })
      daily() {}
    }
    expect(await failure(Bad)).toMatch(/^@Job of \[Bad\.daily\] is not valid: Expected `id` to be/)
  })

  it('for a class without `run`', async () => {
    class Missing {}
    // @ts-expect-error It has no method `run`.
    Job({ type: 'report', id: 'daily' })(Missing)
    expect(await failure(Missing)).toMatch(/^@Job of \[Missing\] is not valid: Expected `run` to be a function/)
  })

  it('for an ingestion without a target', async () => {
    @Job({ id: 'orders', datasource: shop() })
    class NoTarget {}
    expect(await failure(NoTarget)).toMatch(/^@Job of \[NoTarget\] is not valid: Expected `target` to be/)
  })

  it('for a provider of two modules, which would define its job twice', async () => {
    @Module({ providers: [Reports] })
    class One {}
    @Module({ providers: [Reports] })
    class Two {}
    const app = await compile({ imports: [HeadgateModule.forRoot(memory()), One, Two] })
    await expect(app.init()).rejects.toThrow(/^@Job of \[Reports\.weekly\] is not valid: .*defined/)
  })

  it.each([Scope.REQUEST, Scope.TRANSIENT])(
    'for a class in the scope %i, of which there are several instances',
    async (scope) => {
      @Injectable({ scope })
      @Job({ type: 'report', id: 'daily' })
      class Scoped {
        run() {}
      }
      expect(await failure(Scoped)).toBe('Expected the class of @Job [Scoped] to be a singleton, got another scope')
    },
  )

  it('for a registry that is not there', async () => {
    @Job({ type: 'report', id: 'daily' }, 'reports')
    class Elsewhere {
      run() {}
    }
    expect(await failure(Elsewhere)).toBe(
      'Expected @Job of [Elsewhere] to belong to a registry of HeadgateModule, got the registry [reports]',
    )
  })

  it('for two registries of one name', async () => {
    const imports = [HeadgateModule.forRoot(memory()), HeadgateModule.forRoot({ ...memory(), node: 'other' })]
    await expect((await compile({ imports })).init()).rejects.toThrow(
      'Expected each HeadgateModule to have a `name` of its own, got 2 without one',
    )
  })
})

describe('several registries', () => {
  it('run the jobs of their names', async () => {
    // #region named
    @Job({ type: 'report', id: 'nightly' }, 'reports')
    class Nightly {
      @InjectRegistry('reports') readonly registry!: JobRegistry
      run() {}
    }
    // #endregion
    const imports = [HeadgateModule.forRoot(memory()), HeadgateModule.forRoot({ ...memory(), name: 'reports' })]
    const app = await start({ imports, providers: [Nightly, Reports] })
    const { registry } = app.get(Nightly)
    expect(registry).toBe(app.get(getRegistryToken('reports')))
    expect(registry).not.toBe(app.get(JobRegistry))
    const defined = async (registry: JobRegistry) => (await registry.jobs()).map(({ id }) => id).sort()
    expect([await defined(registry), await defined(app.get(JobRegistry))]).toEqual([
      ['nightly'],
      ['monthly', 'weekly', 'yearly'],
    ])
  })
})
