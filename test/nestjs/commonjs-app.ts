// An application as Nest's own compiler makes it: CommonJS, with metadata for decorators. `programs.test.ts` and `.ci/peers.ts` run it.
import { Controller, Get, type INestApplication, Injectable, Module } from '@nestjs/common'
import { type AbstractHttpAdapter, NestFactory } from '@nestjs/core'
import { ExpressAdapter } from '@nestjs/platform-express'
import { FastifyAdapter } from '@nestjs/platform-fastify'
// biome-ignore lint/style/useImportType: the compiler emits the class for Nest
import { type JobContext, JobRegistry, memoryStorage } from 'headgate'
// biome-ignore lint/style/useImportType: the same
import { HeadgateHealthIndicator, HeadgateModule, Job } from 'headgate/nestjs'

@Injectable()
class Mailer {
  readonly sent: string[] = []
}

// #region class
@Job({ type: 'report', id: 'daily' })
class DailyReport {
  constructor(private readonly mailer: Mailer) {}

  async run({ status, progress }: JobContext): Promise<void> {
    this.mailer.sent.push(status.id)
    progress({ count: this.mailer.sent.length })
  }
}
// #endregion

@Controller('report')
class ReportController {
  constructor(
    private readonly registry: JobRegistry,
    private readonly health: HeadgateHealthIndicator,
  ) {}

  @Get()
  async run(): Promise<object> {
    const { finished } = await this.registry.start('report', 'daily')
    const { state, count } = await finished
    return { state, count, health: await this.health.isHealthy() }
  }
}

@Module({ providers: [Mailer], exports: [Mailer] })
class MailerModule {}

@Module({
  imports: [
    MailerModule,
    HeadgateModule.forRootAsync({
      imports: [MailerModule],
      inject: [Mailer],
      useFactory: (mailer) => ({ storage: memoryStorage(), node: `node ${mailer.sent.length}` }),
      api: { path: 'jobs' },
    }),
  ],
  controllers: [ReportController],
  providers: [DailyReport],
})
class AppModule {}

/** Runs a job on a server of each kind, prints what the answers are, and ends. */
async function main(): Promise<void> {
  for (const server of [new ExpressAdapter(), new FastifyAdapter()]) {
    const app = await NestFactory.create<INestApplication>(AppModule, server as AbstractHttpAdapter, {
      logger: ['error', 'warn'],
    })
    app.setGlobalPrefix('api')
    await app.listen(0, '127.0.0.1')
    const url = `${await app.getUrl()}/api`
    const answers = []
    for (const path of ['report', 'jobs/report/daily?pretty=false'])
      answers.push(await (await fetch(`${url}/${path}`)).json())
    console.log(JSON.stringify(answers))
    const events = await fetch(`${url}/jobs/_events`)
    await app.close()
    // The shutdown ends it.
    await events.text()
  }
}

void main()
