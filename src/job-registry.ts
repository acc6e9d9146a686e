import { checkOptions, checkValue, hintFor, invalid, type Rule, read, readable, rule } from './core/base/index.js'
import { limitsOf } from './core/dispatch/index.js'
import type { Job, JobDetail, JobParams } from './core/model/index.js'
import {
  type ReadinessCheck,
  type ReadyOptions,
  Registry,
  type RegistryOptions,
  readyRules,
} from './core/registry/index.js'
import {
  checkRateLimit,
  type Datasource,
  type IngestionDetail,
  type IngestionJob,
  ingestion,
  type JobRecord,
  type RateLimit,
  RateLimiter,
  type Target,
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

/** Options of `registry.ready`. */
export interface JobReadyOptions extends ReadyOptions {
  /** Whether to connect to all datasources too. Default `false`. */
  datasources?: boolean
  /** Whether to connect to the targets of all defined jobs too. Default `false`. */
  targets?: boolean
}

const jobReadyRules = { ...readyRules, datasources: rule.optional(rule.flag), targets: rule.optional(rule.flag) }

const datasourceRule = rule.having('read')

const anything: Rule = { accepts: () => true, expected: 'anything', optional: true }

/** The options that only this class has, which it checks on its own. */
const ownRules = { datasources: anything, rateLimit: anything }

/** The name of a datasource of the registry. */
function nameRule(names: readonly string[]): Rule {
  return {
    accepts: (value) => names.includes(value as string),
    expected: `an object whose keys are names of the registry's \`datasources\` (${names.join(', ') || 'none'})`,
    hint: (value) => hintFor(String(value), names),
  }
}

const datasourcesRule: Rule = {
  accepts: (value) => rule.anObject.accepts(value) && !Array.isArray(value),
  expected: 'an object of datasources by their names, such as `{ shop: postgresDatasource(…) }`',
}

/**
 * The jobs of an application: defines, starts, observes, aborts and searches them. The compiler checks that jobs name one of the
 * given datasources.
 */
export class JobRegistry<Datasources extends NamedDatasources = NamedDatasources> extends Registry<{
  ingestion: IngestionDetail
}> {
  readonly #datasources: NamedDatasources
  readonly #rateLimiter: RateLimiter | undefined
  /** Datasources that were given to jobs directly, without a name. */
  readonly #inline = new Set<Datasource>()
  /** The targets of ingestions, by the ids of the jobs. */
  readonly #targets = new Map<string, Target[]>()

  /** Throws `invalid_options` when an option is not valid. */
  constructor(options: JobRegistryOptions<Datasources>) {
    const { datasources = {}, rateLimit, ...rest } = readable('options', () => ({ ...options })) as JobRegistryOptions
    super(rest, ownRules)
    checkValue('datasources', datasources, datasourcesRule)
    for (const [name, datasource] of readable('datasources', () => Object.entries(datasources))) {
      checkValue(`datasources.${name}`, datasource, datasourceRule)
      checkValue(`datasources.${name}.kind`, datasource.kind, rule.optional(rule.text))
      this.hideSecretsOf(datasource)
    }
    this.#datasources = { ...datasources }
    for (const name of Object.keys(limitsOf(options.concurrency).datasources ?? {})) {
      checkValue('concurrency.datasources', name, nameRule(Object.keys(datasources)))
    }
    if (rateLimit !== undefined) checkRateLimit(rateLimit)
    this.#rateLimiter = rateLimit && new RateLimiter(rateLimit)
  }

  /**
   * Adds a job: an ingestion, or a job with a function `run` and a type of your own. Throws `invalid_options` when the job
   * is not valid or is defined already.
   */
  override define<Checkpoint = unknown, Detail extends object = JobDetail, Params extends object = JobParams>(
    job: Job<Checkpoint, Detail, Params>,
  ): void
  override define<
    Item extends object = JobRecord,
    Out extends object = Item,
    Name extends string = keyof Datasources & string,
    Params extends object = JobParams,
  >(job: IngestionJob<Item, Out, Name, Params> & Naming<Name, keyof Datasources & string>): void
  override define(job: Job | IngestionJob): void {
    readable('job', () => this.#define(job))
  }

  #define(job: Job | IngestionJob): void {
    const { run, type = 'ingestion' } = Object(job) as Partial<Job>
    if (type !== 'ingestion') super.define(job as Job)
    else if (run === undefined) this.#defineIngestion(job as IngestionJob)
    else throw invalid('type', 'a word other than `ingestion` for a job with `run`', type)
  }

  #defineIngestion(job: IngestionJob): void {
    this.defineLibraryJob(ingestion(job, this.#datasources, this.#rateLimiter))
    const { datasource } = job
    const isNamed = typeof datasource === 'string' || Object.values(this.#datasources).includes(datasource)
    if (!isNamed) this.#inline.add(datasource)
    const targets = [job.target, job.failures?.deadLetters].filter((target) => typeof target === 'object')
    for (const adapter of [...(isNamed ? [] : [datasource]), ...targets]) this.hideSecretsOf(adapter)
    this.#targets.set(job.id, targets as Target[])
  }

  /**
   * Removes the definition of a job from this registry, so that it starts here no more. Storage and other processes keep the job: its log,
   * its checkpoint, its pause, and what a shared queue holds. Its schedule continues in the processes that still define it. `define` adds it
   * again, also in another way. A datasource that was given to it directly stays open until `close`. Returns whether it was defined. Throws
   * `already_running` while this registry runs or queues the job or one of its partitions.
   */
  override remove(type: string, id: string): boolean {
    const isRemoved = super.remove(type, id)
    if (isRemoved && type === 'ingestion') this.#targets.delete(id)
    return isRemoved
  }

  /**
   * Resolves when storage and dispatcher can be used, and datasources and targets if asked for: call it when the process starts. Rejects
   * with the reason, such as a missing driver or a wrong password. Transient errors, as of a server that starts, are tried again until
   * `timeout`. Rejects with `closed` when the registry closes.
   */
  override async ready(options: JobReadyOptions = {}): Promise<void> {
    checkOptions('options', options, jobReadyRules)
    const { datasources = false, targets = false, ...rest } = options
    const checks: ReadinessCheck[] = []
    const add = (name: string, code: 'datasource' | 'target', adapter: Datasource | Target) => {
      if (adapter.check) checks.push({ name, code, check: (signal) => adapter.check?.(signal) })
    }
    if (datasources) for (const [name, datasource] of this.#allDatasources) add(name, 'datasource', datasource)
    const used = new Map([...this.#targets].flatMap(([id, all]) => all.map((target) => [target, id])))
    if (targets) for (const [target, id] of used) add(`target of job [ingestion/${id}]`, 'target', target)
    await this.readyWith(checks, rest)
  }

  protected override get owned(): Record<string, { close?(): Promise<void> }> {
    return { ...super.owned, ...Object.fromEntries(this.#allDatasources) }
  }

  /** All datasources with their names for messages. */
  get #allDatasources(): [name: string, datasource: Datasource][] {
    const named = Object.entries(this.#datasources)
    const inline = [...this.#inline]
    return [
      ...named.map(([name, one]): [string, Datasource] => [`datasource [${name}]`, one]),
      ...inline.map((one, n): [string, Datasource] => [`datasource of a job [${read(one, 'kind')} ${n + 1}]`, one]),
    ]
  }
}
