import { hintFor, invalid } from '../adapter.js'
import { type IngestionJob, JobError, type JobRegistry } from '../index.js'
import { type DecoratedJob, decoratedJobs, getRegistryToken } from './job-decorator.js'
import type { MethodScanner, ProviderList, ProviderLookup } from './nest.js'

/** The parts of Nest that find providers. */
export interface Discovery {
  readonly providers: ProviderList
  readonly scanner: MethodScanner
  readonly lookup: ProviderLookup
  /** Logs a warning. */
  warn(message: string): void
}

/** A job that was found on a class, or on one of its methods. */
interface FoundJob extends DecoratedJob {
  /** Where it was found, for messages. */
  readonly place: string
  readonly instance: object
  /** The decorated method. Absent when the class is decorated. */
  readonly method?: string
}

/** What the instance of a job's class may have of its definition: what depends on something that was injected. */
const members = {
  own: ['run', 'schedule', 'onEnd'],
  ingestion: [
    ...['datasource', 'query', 'schema', 'transform', 'transformBatch', 'target'],
    ...['failures', 'schedule', 'onEnd'],
  ],
}

/** What `@Job` alone may say, as it depends on nothing that was injected. */
const optionsOnly: readonly (keyof IngestionJob)[] = [
  ...(['cursor', 'pkField', 'batchSize', 'batchBytes', 'maxRecords', 'parallel', 'partitions', 'resume'] as const),
  ...(['retry', 'ifTargetReset', 'selectedBy', 'priority', 'maxDuration', 'rateLimit', 'total'] as const),
]

/** The members that are methods. A schema may be a function too, with properties of its own. */
const methods = ['run', 'query', 'transform', 'transformBatch', 'target', 'onEnd']

/** Defines the jobs of all providers and controllers that belong to the registry of that name. Throws `invalid_options`. */
export function defineJobs(registry: JobRegistry, name: string | undefined, discovery: Discovery): void {
  checkUnique(name, discovery)
  for (const job of foundJobs(discovery)) {
    if (job.registry === name) {
      define(registry, job)
      warnOfMisspelt(job, discovery)
    } else checkKnown(job, discovery)
  }
}

function define(registry: JobRegistry, job: FoundJob): void {
  try {
    registry.define(definitionOf(job) as never)
  } catch (cause) {
    const reason = JobError.isInstance(cause) ? cause.message : String(cause)
    throw new JobError('invalid_options', `@Job of [${job.place}] is not valid: ${reason}`, { cause })
  }
}

/** The definition of a job: the options, and the members of the class for what they lack. */
function definitionOf({ options, instance, method }: FoundJob): object {
  const memberOf = (name: string) => {
    const value: unknown = Reflect.get(instance, name)
    return typeof value === 'function' && methods.includes(name) ? value.bind(instance) : value
  }
  if (method !== undefined) {
    if (typeOf(options) === 'ingestion')
      throw invalid('type', 'that of a job of your own, as a method runs it', undefined)
    return { ...options, run: Reflect.get(instance, method).bind(instance) }
  }
  const own = membersFor(options)
    .map((name): [string, unknown] => [name, memberOf(name)])
    .filter(([, value]) => value !== undefined)
  return { ...Object.fromEntries(own), ...options }
}

function typeOf(options: FoundJob['options']): string {
  const { type = 'ingestion' } = options as { type?: string }
  return type
}

function membersFor(options: FoundJob['options']): readonly string[] {
  return typeOf(options) === 'ingestion' ? members.ingestion : members.own
}

/** Warns of members that are options of `@Job`, or are called almost as one that the job could have, and has not. A class may have any others. */
function warnOfMisspelt({ options, instance, method, place }: FoundJob, { scanner, warn }: Discovery): void {
  if (method !== undefined) return
  const missing = membersFor(options).filter((name) => !(name in instance) && !(name in options))
  const own = [...Object.getOwnPropertyNames(instance), ...scanner.getAllMethodNames(Object.getPrototypeOf(instance))]
  for (const name of own) {
    const isOption = optionsOnly.some((option) => option === name && !(name in options))
    const hint = isOption ? `. Pass \`${name}\` to @Job` : hintFor(name, missing)
    if (hint !== '') warn(`The member \`${name}\` of @Job [${place}] is not a part of the job${hint}`)
  }
}

/** All jobs of all registries. */
function foundJobs({ providers, scanner }: Discovery): FoundJob[] {
  const found: FoundJob[] = []
  const seen = new Set<object>()
  for (const wrapper of [...providers.getProviders(), ...providers.getControllers()]) {
    const { instance, metatype } = wrapper
    if (wrapper.isTransient || !wrapper.isDependencyTreeStatic()) {
      checkUndecorated(Object(metatype), scanner)
      continue
    }
    // An alias gives the same instance again.
    if (typeof instance !== 'object' || instance === null || seen.has(instance)) continue
    seen.add(instance)
    found.push(...jobsOf(instance, Object.getPrototypeOf(instance), scanner))
  }
  return found
}

function jobsOf(instance: object, prototype: object | null, scanner: MethodScanner): FoundJob[] {
  const type = prototype?.constructor
  if (!prototype || !type || type === Object) return []
  const ofClass = decoratedJobs(type).map((job) => ({ ...job, instance, place: type.name }))
  const ofMethods = scanner.getAllMethodNames(prototype).flatMap((method) => {
    const jobs = decoratedJobs(Reflect.get(prototype, method))
    return jobs.map((job) => ({ ...job, instance, method, place: `${type.name}.${method}` }))
  })
  return [...ofClass, ...ofMethods]
}

/** No request and no other class starts a job, so that an instance for each of them would have no job to run. */
function checkUndecorated(type: { prototype?: object }, scanner: MethodScanner): void {
  const [job] = type.prototype ? jobsOf(type, type.prototype, scanner) : []
  if (job)
    throw new JobError(
      'invalid_options',
      `Expected the class of @Job [${job.place}] to be a singleton, got another scope`,
    )
}

/** A job of a registry that nothing makes would never run. */
function checkKnown(job: FoundJob, { lookup }: Discovery): void {
  try {
    lookup.get(getRegistryToken(job.registry), { strict: false })
  } catch (cause) {
    const name = job.registry === undefined ? 'without a name' : `[${job.registry}]`
    const expected = `Expected @Job of [${job.place}] to belong to a registry of HeadgateModule`
    throw new JobError('invalid_options', `${expected}, got the registry ${name}`, { cause })
  }
}

/** Two registries of one name would both run each job. */
function checkUnique(name: string | undefined, { providers }: Discovery): void {
  const token = getRegistryToken(name)
  const count = providers.getProviders().filter((wrapper) => wrapper.token === token).length
  if (count > 1)
    throw new JobError(
      'invalid_options',
      `Expected each HeadgateModule to have a \`name\` of its own, got ${count} ${name === undefined ? 'without one' : `with [${name}]`}`,
    )
}
