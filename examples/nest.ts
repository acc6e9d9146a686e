// A Nest application with jobs, the HTTP API, the dashboard and health, on Express or Fastify: tsx examples/nest.ts [fastify]
import { Controller, Get, Inject, Injectable, Module } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { ExpressAdapter } from '@nestjs/platform-express'
import { FastifyAdapter } from '@nestjs/platform-fastify'
import { type JobContext, memoryStorage, type TargetFunction } from 'headgate'
import { iterableDatasource } from 'headgate/iterable'
import { HeadgateHealthIndicator, HeadgateModule, Job } from 'headgate/nestjs'

@Injectable()
class Shop {
  readonly orders = [{ id: 1, cents: 250 }]
  readonly sold = new Map<number, number>()
}

/** An ingestion. What `@Job` does not say of it, the class does. */
@Job({ id: 'orders', schedule: { every: 60_000 } })
class Orders {
  // With a compiler that emits metadata for decorators, such as `nest build`, `@Inject` is not needed.
  constructor(@Inject(Shop) private readonly shop: Shop) {}

  get datasource() {
    return iterableDatasource(() => this.shop.orders)
  }

  transform({ id, cents }: { id: number; cents: number }) {
    return { id, euros: cents / 100 }
  }

  readonly target: TargetFunction<{ id: number; euros: number }> = (batch) => {
    for (const { id, euros } of batch.records()) this.shop.sold.set(id, euros)
  }
}

/** Jobs of your own: methods of any provider. */
@Injectable()
class Reports {
  constructor(@Inject(Shop) private readonly shop: Shop) {}

  @Job({ type: 'report', id: 'daily', schedule: { cron: '0 6 * * *' } })
  daily({ progress }: JobContext) {
    progress({ count: this.shop.sold.size })
  }
}

@Controller('health')
class HealthController {
  constructor(@Inject(HeadgateHealthIndicator) private readonly jobs: HeadgateHealthIndicator) {}

  @Get()
  check() {
    return this.jobs.isHealthy('jobs')
  }
}

@Module({
  imports: [
    HeadgateModule.forRoot({ storage: memoryStorage(), api: { path: 'jobs' }, dashboard: { path: 'dashboard' } }),
  ],
  controllers: [HealthController],
  providers: [Shop, Orders, Reports],
})
class AppModule {}

const server = process.argv[2] === 'fastify' ? new FastifyAdapter() : new ExpressAdapter()
const app = await NestFactory.create(AppModule, server)
app.setGlobalPrefix('api')
app.enableShutdownHooks()
await app.listen(Number(process.env.PORT ?? 3000), '127.0.0.1')
console.log(`Listening on ${await app.getUrl()}/api`)
