import { limitsOf } from './core/dispatcher.js'
import type { Job } from './core/job.js'
import { checkValue, invalid, rule } from './core/options.js'
import { Registry } from './core/registry.js'
import type { RegistryOptions } from './core/registry-options.js'
import type { JobRecord } from './ingestion/batch.js'
import type { Datasource } from './ingestion/datasource.js'
import { ingestion } from './ingestion/ingestion.js'
import type { IngestionJob } from './ingestion/job.js'
import { checkRateLimit, Pace, type RateLimit } from './ingestion/rate-limit.js'

/** How a {@link JobRegistry} works. */
export interface JobRegistryOptions extends RegistryOptions {
  /** The datasources that ingestions name. The registry closes them. Default: none. */
  datasources?: Record<string, Datasource>
  /** The most that all its ingestions together write per second. Default: no limit. */
  rateLimit?: RateLimit
}

const datasourceRule = rule.having('read')

/** The jobs of an application: defined, started, watched, aborted and found again. */
export class JobRegistry extends Registry {
  readonly #datasources: Readonly<Record<string, Datasource>>
  readonly #pace: Pace | undefined

  /** Throws `invalid_options` when an option is not what it should be. */
  constructor(options: JobRegistryOptions) {
    const { datasources = {}, rateLimit, ...rest } = Object(options) as JobRegistryOptions
    super(rest)
    for (const [name, datasource] of Object.entries(datasources)) {
      checkValue(`datasources.${name}`, datasource, datasourceRule)
    }
    this.#datasources = { ...datasources }
    for (const name of Object.keys(limitsOf(options.concurrency).datasources ?? {})) {
      checkValue('concurrency.datasources', name, rule.oneOf(...Object.keys(datasources)))
    }
    if (rateLimit !== undefined) checkRateLimit(rateLimit)
    this.#pace = rateLimit && new Pace(rateLimit)
  }

  /**
   * Adds a job: an ingestion, or a function `run` under a type of your own. Throws `invalid_options` when something in it
   * is wrong, or when it is defined already.
   */
  override define<Item extends object = JobRecord>(job: Job | IngestionJob<Item>): void {
    const { run, type = 'ingestion' } = Object(job) as Partial<Job>
    if (type !== 'ingestion') super.define(job as Job)
    else if (run === undefined) super.define(ingestion(job as unknown as IngestionJob, this.#datasources, this.#pace))
    else throw invalid('type', 'a word other than `ingestion` for a job with `run`', type)
  }

  protected override get owned(): Record<string, { close?(): Promise<void> }> {
    const named = Object.entries(this.#datasources).map(([name, one]) => [`datasource [${name}]`, one] as const)
    return { ...super.owned, ...Object.fromEntries(named) }
  }
}
