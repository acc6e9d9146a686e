import { checkValue, invalid, rule } from './core/base/index.js'
import { limitsOf } from './core/dispatch/index.js'
import type { Job, JobDetail } from './core/model/index.js'
import { Registry, type RegistryOptions } from './core/registry/index.js'
import {
  checkRateLimit,
  type Datasource,
  type IngestionJob,
  ingestion,
  type JobRecord,
  type RateLimit,
  RateLimiter,
} from './ingestion/index.js'

/** Datasources by the names that jobs refer to. */
export type NamedDatasources = Readonly<Record<string, Datasource>>

/** The options of a {@link JobRegistry}. */
export interface JobRegistryOptions<Datasources extends NamedDatasources = NamedDatasources> extends RegistryOptions {
  /** Datasources that ingestions refer to by name. The registry closes them, and those that are given to jobs directly. Default: none. */
  datasources?: Datasources
  /** Maximum write rate of all ingestions together, per second. Default: no limit. */
  rateLimit?: RateLimit
}

/** The datasource of a job: one of the known names, unless the compiler knows only that it is text. */
interface Naming<Name extends string, Known extends string> {
  datasource: (string extends Name ? string : Known) | Datasource
}

const datasourceRule = rule.having('read')

/**
 * The jobs of an application: defines, starts, observes, aborts and searches them. The compiler checks that jobs name one of the
 * given datasources.
 */
export class JobRegistry<Datasources extends NamedDatasources = NamedDatasources> extends Registry {
  readonly #datasources: NamedDatasources
  readonly #rateLimiter: RateLimiter | undefined
  /** Datasources that were given to jobs directly, without a name. */
  readonly #inline = new Set<Datasource>()

  /** Throws `invalid_options` when an option is not valid. */
  constructor(options: JobRegistryOptions<Datasources>) {
    const { datasources = {}, rateLimit, ...rest } = Object(options) as JobRegistryOptions
    super(rest)
    for (const [name, datasource] of Object.entries(datasources)) {
      checkValue(`datasources.${name}`, datasource, datasourceRule)
      checkValue(`datasources.${name}.kind`, datasource.kind, rule.optional(rule.text))
    }
    this.#datasources = { ...datasources }
    for (const name of Object.keys(limitsOf(options.concurrency).datasources ?? {})) {
      checkValue('concurrency.datasources', name, rule.oneOf(...Object.keys(datasources)))
    }
    if (rateLimit !== undefined) checkRateLimit(rateLimit)
    this.#rateLimiter = rateLimit && new RateLimiter(rateLimit)
  }

  /**
   * Adds a job: an ingestion, or a job with a function `run` and a type of your own. Throws `invalid_options` when the job
   * is not valid or is defined already.
   */
  override define<
    Item extends object = JobRecord,
    Out extends object = Item,
    Checkpoint = unknown,
    Detail extends object = JobDetail,
    Name extends string = keyof Datasources & string,
  >(job: Job<Checkpoint, Detail> | (IngestionJob<Item, Out, Name> & Naming<Name, keyof Datasources & string>)): void {
    const { run, type = 'ingestion' } = Object(job) as Partial<Job>
    if (type !== 'ingestion') super.define(job as Job)
    else if (run === undefined) this.#defineIngestion(job as unknown as IngestionJob)
    else throw invalid('type', 'a word other than `ingestion` for a job with `run`', type)
  }

  #defineIngestion(job: IngestionJob): void {
    this.defineLibraryJob(ingestion(job, this.#datasources, this.#rateLimiter))
    const { datasource } = job
    const isNamed = typeof datasource === 'string' || Object.values(this.#datasources).includes(datasource)
    if (!isNamed) this.#inline.add(datasource)
  }

  protected override get owned(): Record<string, { close?(): Promise<void> }> {
    const named = Object.entries(this.#datasources).map(([name, one]) => [`datasource [${name}]`, one] as const)
    const inline = [...this.#inline].map((one, n) => [`datasource of a job [${one.kind} ${n + 1}]`, one] as const)
    return { ...super.owned, ...Object.fromEntries([...named, ...inline]) }
  }
}
