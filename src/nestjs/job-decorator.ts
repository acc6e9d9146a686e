import { Inject } from '@nestjs/common'
import { checkValue, rule } from '../adapter.js'
import {
  type IngestionJob,
  type JobContext,
  type Job as JobDefinition,
  JobError,
  type JobRecord,
  JobRegistry,
  type Target,
  type TargetFunction,
  type TargetFunctionContext,
  type TransformContext,
} from '../index.js'

/** What `@Job` takes for a job of your own: its definition without `run`, which the class or method is. */
export type OwnJobOptions = Omit<JobDefinition, 'run'>

/**
 * What `@Job` takes for an ingestion: the part of its definition that depends on nothing injected. The class has the rest as members:
 * `datasource`, `query`, `schema`, `transform`, `transformBatch`, `target`, `failures`, `schedule` and `onEnd`.
 */
export type IngestionOptions = Pick<IngestionJob, 'id'> & Partial<Omit<IngestionJob, 'id'>>

/** A method that runs a job. It may take a `JobContext` with types of its own. */
export type JobMethod = { run(context: JobContext): unknown }['run']

/** Decorates a class with the method `run`, or a method of any provider. */
export interface OwnJobDecorator {
  (target: abstract new (...dependencies: never[]) => { run: JobMethod }): void
  (target: object, name: string | symbol, descriptor: { value?: JobMethod }): void
}

/** What the class of an ingestion may have: records of any type of its own. */
export interface IngestionMembers {
  /** What to read. */
  query?: IngestionJob['query']
  /** Changes each record. */
  transform?(record: JobRecord, context: TransformContext): unknown
  /** Where records go: a target, or a method that receives each batch. */
  target?: Target | { write(batch: WrittenBatch, context: TargetFunctionContext): unknown }['write']
}

/** A batch, as a target function receives it. */
type WrittenBatch = Parameters<TargetFunction>[0]

/** Decorates the class of an ingestion. */
export type IngestionDecorator = (target: abstract new (...dependencies: never[]) => object & IngestionMembers) => void

/** What `@Job` keeps of a job, on its class or method. */
export interface DecoratedJob {
  readonly options: OwnJobOptions | IngestionOptions
  /** The name of its registry. */
  readonly registry: string | undefined
}

/**
 * Defines a job when the application starts. Its class is a provider, of which Nest injects the dependencies. A job of your own has a
 * `type`, and decorates a class with the method `run`, or a method. Without a `type`, the class is an ingestion. `registry` is the name of
 * the registry that the job belongs to. Default: the registry without a name. Options that are not valid fail the start with
 * `invalid_options`.
 */
export function Job(options: IngestionOptions, registry?: string): IngestionDecorator
export function Job(options: OwnJobOptions, registry?: string): OwnJobDecorator
export function Job(options: DecoratedJob['options'], registry?: string): OwnJobDecorator & IngestionDecorator {
  checkValue('options', options, { ...rule.anObject, expected: "an object such as `{ id: 'orders' }`, as @Job takes" })
  return (target: object, name?: string | symbol, descriptor?: { value?: object }) => {
    if (name !== undefined && (typeof target === 'function' || !descriptor?.value)) throw notDecorated(String(name))
    const decorated = descriptor?.value ?? target
    const others: DecoratedJob[] = Reflect.getOwnMetadata(metadataKey, decorated) ?? []
    Reflect.defineMetadata(metadataKey, [...others, { options, registry }], decorated)
  }
}

function notDecorated(name: string): JobError {
  return new JobError(
    'invalid_options',
    `Expected @Job to decorate a class, or a method of its instances, got \`${name}\`.`,
  )
}

/** The jobs of a class or a method. */
export function decoratedJobs(target: object): DecoratedJob[] {
  return Reflect.getMetadata(metadataKey, target) ?? []
}

const metadataKey = 'headgate:jobs'

/** Injects the registry of `HeadgateModule`, or that of the given name. The one without a name is also injected by its class `JobRegistry`. */
export function InjectRegistry(name?: string): PropertyDecorator & ParameterDecorator {
  return Inject(getRegistryToken(name))
}

/** The injection token of a registry, for factories and `app.get`: the class `JobRegistry` without a name. */
export function getRegistryToken(name?: string): typeof JobRegistry | string {
  return name === undefined ? JobRegistry : `JobRegistry:${name}`
}
