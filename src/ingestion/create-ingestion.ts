import { checkDone, checkedAnswer, invalid, isTransient, rule } from '../core/base/index.js'
import type { LibraryJob } from '../core/execution/index.js'
import { type Job, type JobContext, type JobParams, retryPolicyOf } from '../core/model/index.js'
import {
  type Cursor,
  cursorOf,
  type Datasource,
  splitRequestOf,
  type Target,
  type TargetFunction,
  type TargetFunctionContext,
  type TargetWriter,
} from './contract/index.js'
import {
  allowedRefresh,
  batchTransform,
  boundPlan,
  type CompiledQuery,
  checkIngestion,
  checkPartitions,
  checkRefresh,
  checkSelectedBy,
  compileQuery,
  consistencyOf,
  functionCapabilities,
  type IngestionJob,
  type IngestionPlan,
  limitsOf,
  pendingRefresh,
  RateLimiter,
  refreshCheckpoint,
  type Tolerance,
} from './definition/index.js'
import { ParentRun, ParentTotal, PartitionRun } from './partitioned/index.js'
import { resetOf } from './reset-ingestion.js'
import { IngestionRun, lookbackWarning, measured, RunMeter } from './run/index.js'

/**
 * Makes the job of an ingestion. It reads a batch, writes it, and moves the checkpoint once the target holds it, while it reads the
 * next batch. Throws `invalid_options` when the definition is not valid.
 */
export function ingestion(
  definition: IngestionJob,
  datasources: Readonly<Record<string, Datasource>>,
  shared?: RateLimiter,
): LibraryJob {
  checkIngestion(definition)
  const plan = planOf(definition, datasourceOf(definition, datasources), shared)
  const { id, partitions } = definition
  const bound = (plan: IngestionPlan, { params, status }: Pick<JobContext, 'params' | 'status'>) =>
    boundPlan(plan, definition, params, status.params)
  const common = { ...sharedOf(definition), checkParams: paramsCheckOf(definition, plan) }
  // Partitions without positions begin anew with each try of their parent, which adds up what they count.
  const repeatsRecords = (plan.cursor?.lookback ?? 0) > 0 || (partitions !== undefined && !plan.hasPositions)
  const management = {
    refreshCheckpoint: (time: number) => refreshCheckpoint(id, plan, time),
    checkRefresh: (signal: AbortSignal) => checkRefresh(plan, signal),
    restartCheckpoint: pendingRefresh,
    ...resetOf(definition, plan),
  }
  const refreshEffect = allowedRefresh(plan)
  const listed = { targetKind: plan.target.kind, ...(refreshEffect && { refreshEffect }) }
  const job = { ...common, ...management, distanceOf, repeatsRecords, ...listed, ...ownOf(definition) }
  const warnOfRepeats = lookbackWarning(plan)
  if (partitions === undefined) {
    return {
      ...job,
      run: (context) => {
        warnOfRepeats(context)
        return new IngestionRun(bound(plan, context), context).run()
      },
    }
  }
  const split = splitRequestOf(partitions)
  const partitionOptions = { ...common, ...partitionResumption(definition) }
  const { limit } = retryPolicyOf(partitionOptions)
  // A partition resumes by its scheme, which is a new one when the parent starts from the beginning.
  const partitionPlan = { ...plan, isResumable: plan.hasPositions, startsOver: false, total: undefined }
  return {
    ...job,
    run: (context) => {
      const meter = new RunMeter(context, plan, context.count)
      const parentPlan = bound(plan, context)
      const total = new ParentTotal(parentPlan, context, meter)
      return new ParentRun(parentPlan, measured(context, meter), split, limit, total).run()
    },
    makePartition: (n) => ({
      ...partitionOptions,
      distanceOf,
      run: (context) => new PartitionRun(bound(partitionPlan, context), context, n).run(),
    }),
  }
}

function paramsCheckOf(definition: IngestionJob, { query }: IngestionPlan): (params: JobParams) => void {
  return (params) => {
    query.checkParams(params)
    checkSelectedBy(definition, query, params)
  }
}

/** The options of the job that its partitions do not have. */
function ownOf({ id, schedule, onEnd, maxDuration }: IngestionJob): Omit<Job, 'run'> {
  return {
    type: 'ingestion',
    id,
    ...(schedule && { schedule }),
    ...(onEnd && { onEnd: onEnd as NonNullable<Job['onEnd']> }),
    ...(maxDuration && { maxDuration }),
  }
}

/** How many batches a checkpoint is from the beginning. A new plan of partitions, a restart, or a repeated record is no progress. */
function distanceOf(checkpoint: unknown): number {
  const { sequence, repeats } = Object(checkpoint ?? {}) as { sequence?: unknown; repeats?: unknown }
  return typeof sequence === 'number' ? sequence - (typeof repeats === 'number' ? repeats : 0) : 0
}

/** The parent supervises its partitions, so they always resume automatically. Transient errors are retried if the job says so. */
function partitionResumption({ resume, retry }: IngestionJob): Pick<Job, 'resume' | 'retry'> {
  const isTried = resume === 'auto' || retry?.limit !== undefined
  return { resume: 'auto', ...(isTried ? retry && { retry } : { retry: { ...retry, isTransient: () => false } }) }
}

/** The options that the parent job and its partitions share. */
function sharedOf({ resume, retry, priority, datasource, params }: IngestionJob): Omit<Job, 'type' | 'id' | 'run'> {
  return {
    ...(resume && { resume }),
    ...(retry && { retry }),
    ...(priority !== undefined && { priority }),
    ...(params && { params }),
    ...(typeof datasource === 'string' && { datasource }),
  }
}

function datasourceOf({ datasource }: IngestionJob, known: Readonly<Record<string, Datasource>>): Datasource {
  if (typeof datasource !== 'string') return datasource
  if (Object.hasOwn(known, datasource)) return known[datasource] as Datasource
  const names = Object.keys(known).join(', ') || 'none'
  throw invalid('datasource', `the name of one of the registry's datasources (${names})`, datasource)
}

function planOf(definition: IngestionJob, datasource: Datasource, shared: RateLimiter | undefined): IngestionPlan {
  const { batchSize = 1000, batchBytes = 1 << 24, rateLimit, resume, ifTargetReset = 'fail' } = definition
  const { maxRecords: limit = Number.POSITIVE_INFINITY, schema, transform, transformBatch } = definition
  const name = typeof definition.datasource === 'string' ? definition.datasource : datasource.kind
  if (datasource.capabilities?.requiresQuery && definition.query === undefined) {
    throw invalid('query', `set for a datasource of the kind ${datasource.kind}`, definition.query)
  }
  const { parallel = 1 } = definition
  const cursor = definition.cursor === undefined ? undefined : cursorOf(definition.cursor, parallel)
  if (parallel > 1 && !cursor) throw invalid('cursor', 'set with `parallel`', cursor)
  if (cursor && !datasource.readByCursor) {
    throw invalid('cursor', `omitted, as the datasource [${name}] does not support cursors`, definition.cursor)
  }
  const query = queryOf(definition, datasource, cursor)
  const { pkField = cursor?.columns.at(-1) } = definition
  if (parallel > 1 && !cursor?.columns.includes(pkField as string)) {
    throw invalid('pkField', 'a column of `cursor` with `parallel`', pkField)
  }
  if (pkField === undefined && (query.needs.lastId || query.needs.maxPrimaryKey)) {
    throw invalid('pkField', 'the column that `query` uses', pkField)
  }
  const tolerance = toleranceOf(definition)
  const target = targetOf(definition.target, 'target')
  checkLookback(cursor, target)
  if (definition.partitions !== undefined) {
    const targets = [target, tolerance?.deadLetters].filter((target) => target !== undefined)
    checkPartitions(definition, { cursor, query, datasource, targets })
  }
  const hasPositions = cursor !== undefined || query.resumes || datasource.capabilities?.resumesAfterId === true
  const limiters = [rateLimit && new RateLimiter(rateLimit), shared].filter((limiter) => limiter !== undefined)
  const changesRecords = Boolean(schema ?? transform ?? transformBatch)
  return {
    datasource,
    query,
    cursor,
    consistency: consistencyOf(definition, datasource, cursor),
    pkField,
    batchSize: Math.min(batchSize, ...limiters.flatMap(({ limit }) => limit.rows ?? [])),
    batchBytes: Math.min(batchBytes, ...limiters.flatMap(({ limit }) => limit.bytes ?? [])),
    limiters,
    limit,
    total: totalOf(definition, datasource, name),
    transform: batchTransform(definition, tolerance && ((error) => !tolerance.isTransient(error))),
    target,
    tolerance,
    changesRecords,
    readsValues:
      changesRecords || tolerance !== undefined || query.needs.maxPrimaryKey !== false || query.needs.lastRecord,
    // A target that replaces starts from the beginning after every success, so there is nothing to save for later.
    isResumable: hasPositions && (resume !== 'restart' || target.strategy !== 'replace'),
    startsOver: resume === 'restart',
    ifTargetReset,
    hasPositions,
    isTakenOver: resume === 'auto',
    failures: {
      datasource: `Could not execute datasource query [${name}].`,
      target: `Could not write to target [${target.kind}].`,
    },
  }
}

/** A target that replaces loads beside the old records without merging, so repeated records would be duplicates. */
function checkLookback(cursor: Cursor | undefined, { strategy }: Target): void {
  if (!cursor || cursor.lookback === 0 || strategy !== 'replace') return
  throw invalid('cursor.lookback', '0 with a target that replaces, as each run of it loads everything', cursor.lookback)
}

function totalOf({ total }: IngestionJob, datasource: Datasource, name: string): IngestionPlan['total'] {
  if (typeof total === 'object') return compileQuery(total.query, placeholderOf(datasource))
  if (total === undefined || datasource.count) return total
  throw invalid('total', `omitted or an object with \`query\`, as the datasource [${name}] cannot count`, total)
}

/** The query of a job. With a cursor, it is the same in every run, and the datasource adds where to resume. */
function queryOf({ query }: IngestionJob, datasource: Datasource, cursor: Cursor | undefined): CompiledQuery {
  const compiled = compileQuery(query, placeholderOf(datasource))
  if (!cursor) return compiled
  if (typeof query === 'string' && (compiled.resumes || compiled.takesRange)) {
    throw invalid('query', 'a template without variables, as `cursor` defines where to resume', query)
  }
  const needs = { maxPrimaryKey: false, lastRecord: false, lastId: false }
  const unknown = () => undefined
  const render: CompiledQuery['render'] = ({ params = {} }) => compiled.render({ params })
  return {
    ...compiled,
    resumes: false,
    takesRange: false,
    needs,
    comparisonOf: unknown,
    otherKeyOf: unknown,
    missingIn: unknown,
    render,
  }
}

function placeholderOf(datasource: Datasource): ((n: number) => string) | undefined {
  const method = `placeholder() of the datasource [${datasource.kind}]`
  return datasource.placeholder && ((n) => checkedAnswer('datasource', method, rule.text, datasource.placeholder?.(n)))
}

function toleranceOf({ failures, retry }: IngestionJob): Tolerance | undefined {
  if (!failures) return undefined
  const deadLetters = failures.deadLetters && targetOf(failures.deadLetters as Target | TargetFunction, 'deadLetters')
  const showsRecords = failures.showRecords === true
  return { limits: limitsOf(failures), deadLetters, showsRecords, isTransient: retry?.isTransient ?? isTransient }
}

function targetOf(target: Target | TargetFunction, name: 'target' | 'deadLetters'): Target {
  if (typeof target !== 'function') return target
  const write: TargetWriter['write'] = async (batch, context) => {
    checkDone('target', `\`${name}\``, await target(batch, context as TargetFunctionContext))
  }
  return {
    kind: 'function',
    capabilities: { writesPartitions: true, ...functionCapabilities },
    open: () => ({ writer: { write } }),
  }
}
