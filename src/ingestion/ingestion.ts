import type { Job } from '../core/job.js'
import { invalid } from '../core/options.js'
import { inParts, shownAs } from '../core/parts.js'
import { retryPolicyOf } from '../core/retry-policy.js'
import { isTransient } from '../core/transient.js'
import { PartRun } from './_part.js'
import { checkPartitions } from './_partitionable.js'
import { PartitionedRun } from './_partitioned.js'
import type { Plan, Tolerance } from './_plan.js'
import { IngestionRun } from './_run.js'
import { type Cursor, cursorOf } from './cursor.js'
import type { Datasource } from './datasource.js'
import { limitsOf } from './failures.js'
import { checkIngestion, type IngestionJob } from './job.js'
import { cutsOf } from './partitions.js'
import { type CompiledQuery, compileQuery } from './query.js'
import { Pace } from './rate-limit.js'
import type { Target, TargetFunction } from './target.js'
import { batchTransform } from './transform.js'

/**
 * The job that runs an ingestion: reads a batch, writes it, and moves the checkpoint once the target holds it, while the
 * next batch is on its way. Throws `invalid_options` when something in the definition is wrong.
 */
export function ingestion(
  definition: IngestionJob,
  datasources: Readonly<Record<string, Datasource>>,
  sharedPace?: Pace,
): Job {
  checkIngestion(definition)
  const plan = planOf(definition, datasourceOf(definition, datasources), sharedPace)
  const { id, partitions, schedule } = definition
  const shared = sharedOf(definition)
  const job = (run: Job['run']): Job => ({ ...shared, ...(schedule && { schedule }), type: 'ingestion', id, run })
  if (partitions === undefined) return job((context) => new IngestionRun(plan, context).run())
  const cuts = cutsOf(partitions)
  const ofPart = { ...shared, ...resumptionOfPart(definition) }
  const { limit } = retryPolicyOf(ofPart)
  // A part goes on by the cut that it is of, which is another one when the whole begins anew.
  const planOfPart = { ...plan, isResumable: plan.hasPlaces, startsOver: false }
  return inParts(
    job((context) => new PartitionedRun(plan, context, cuts, limit).run()),
    (n) => ({ ...ofPart, run: (context) => new PartRun(planOfPart, context, n).run() }),
  )
}

/** A part goes on without its node, as the whole is there to see to it. Errors that pass are tried again where the job says so. */
function resumptionOfPart({ resume, retry }: IngestionJob): Pick<Job, 'resume' | 'retry'> {
  const isTried = resume === 'auto' || retry?.limit !== undefined
  return { resume: 'auto', ...(isTried ? retry && { retry } : { retry: { ...retry, isTransient: () => false } }) }
}

/** What the job of the whole and those of parts have in common. */
function sharedOf({ resume, retry, priority, datasource }: IngestionJob): Omit<Job, 'type' | 'id' | 'run'> {
  return {
    ...(resume && { resume }),
    ...(retry && { retry }),
    ...(priority !== undefined && { priority }),
    ...(typeof datasource === 'string' && { datasource }),
  }
}

function datasourceOf({ datasource }: IngestionJob, known: Readonly<Record<string, Datasource>>): Datasource {
  if (typeof datasource !== 'string') return datasource
  if (Object.hasOwn(known, datasource)) return known[datasource] as Datasource
  const names = Object.keys(known).join(', ') || 'none'
  throw invalid('datasource', `the name of one of the registry's datasources (${names})`, datasource)
}

function planOf(definition: IngestionJob, datasource: Datasource, sharedPace: Pace | undefined): Plan {
  const { batchSize = 1000, batchBytes = 1 << 24, rateLimit, resume, ifTargetReset = 'fail' } = definition
  const { records: limit = Number.POSITIVE_INFINITY, transform, transformBatch } = definition
  const name = typeof definition.datasource === 'string' ? definition.datasource : datasource.kind
  if (datasource.needsQuery && definition.query === undefined) {
    throw invalid('query', `what a datasource of the kind ${datasource.kind} is to read`, definition.query)
  }
  const { parallel = 1 } = definition
  const cursor = definition.cursor === undefined ? undefined : cursorOf(definition.cursor, parallel)
  if (parallel > 1 && !cursor) throw invalid('cursor', 'there beside `parallel`', cursor)
  if (cursor && !datasource.readsByCursor) {
    throw invalid('cursor', `absent, as the datasource [${name}] does not read by one`, definition.cursor)
  }
  const query = queryOf(definition, datasource, cursor)
  const { pkField = cursor?.columns.at(-1) } = definition
  if (parallel > 1 && !cursor?.columns.includes(pkField as string)) {
    throw invalid('pkField', 'a column of `cursor` beside `parallel`', pkField)
  }
  if (pkField === undefined && (query.needs.lastId || query.needs.maxPrimaryKey)) {
    throw invalid('pkField', 'the column whose values `query` asks for', pkField)
  }
  const tolerance = toleranceOf(definition)
  const target = targetOf(definition.target)
  if (definition.partitions !== undefined) {
    const targets = [target, tolerance?.deadLetters].filter((target) => target !== undefined)
    checkPartitions(definition, { cursor, query, datasource, targets })
  }
  const hasPlaces = cursor !== undefined || query.resumes || datasource.resumes === true
  const paces = [rateLimit && new Pace(rateLimit), sharedPace].filter((pace) => pace !== undefined)
  return {
    datasource,
    query,
    cursor,
    pkField,
    batchSize: Math.min(batchSize, ...paces.flatMap(({ limit }) => limit.rows ?? [])),
    batchBytes: Math.min(batchBytes, ...paces.flatMap(({ limit }) => limit.bytes ?? [])),
    paces,
    limit,
    transform: batchTransform(definition, tolerance && ((error) => !tolerance.isTransient(error))),
    target,
    tolerance,
    readsValues:
      Boolean(transform ?? transformBatch ?? tolerance) ||
      query.needs.maxPrimaryKey !== false ||
      query.needs.lastRecord,
    // A target that replaces starts from the beginning after every success: there is nothing to save for later.
    isResumable: hasPlaces && (resume !== 'restart' || target.strategy !== 'replace'),
    startsOver: resume === 'restart',
    ifTargetReset,
    hasPlaces,
    isTakenOver: resume === 'auto',
    failures: {
      datasource: `Could not execute datasource query [${name}].`,
      target: `Could not write to target [${target.kind}].`,
    },
  }
}

/** The query of a job. With a cursor it is the same in every run: there is one way to go on. */
function queryOf({ query }: IngestionJob, { placeholder }: Datasource, cursor: Cursor | undefined): CompiledQuery {
  const compiled = compileQuery(query, placeholder)
  if (!cursor) return compiled
  if (typeof query === 'string' && (compiled.resumes || compiled.takesRange)) {
    throw invalid('query', 'a template without variables, as `cursor` says where to go on', query)
  }
  const needs = { maxPrimaryKey: false, lastRecord: false, lastId: false }
  return { resumes: false, takesRange: false, needs, comparisonOf: () => undefined, render: () => compiled.render({}) }
}

function toleranceOf({ failures, retry }: IngestionJob): Tolerance | undefined {
  if (!failures) return undefined
  const deadLetters = failures.deadLetters && targetOf(failures.deadLetters as Target | TargetFunction)
  return { limits: limitsOf(failures), deadLetters, isTransient: retry?.isTransient ?? isTransient }
}

function targetOf(target: Target | TargetFunction): Target {
  if (typeof target !== 'function') return target
  const write: TargetFunction = (batch, context) => target(batch, { ...context, ...shownAs(context) })
  return { kind: 'function', takesParts: true, open: () => ({ write }) }
}
