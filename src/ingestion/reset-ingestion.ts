import {
  checkOptions,
  hintFor,
  invalid,
  isTransient,
  JobError,
  newExecutionId,
  type Rule,
  readable,
  rule,
  thrownBy,
} from '../core/base/index.js'
import type { LibraryJob } from '../core/execution/index.js'
import { type JobParams, keptParams, validParams } from '../core/model/index.js'
import { type Cursor, cursorOf, nothingRead, type Query } from './contract/index.js'
import {
  type CompiledQuery,
  type IngestionJob,
  type IngestionPlan,
  type QueryVariables,
  selectionOf,
  startParamsOf,
  withFieldCount,
} from './definition/index.js'
import { type Checkpoint, type ParentCheckpoint, variableRules, variablesOf } from './run/index.js'

const anything: Rule = { accepts: () => true, expected: 'anything', optional: true }

/** The fields that a reset accepts. Those that a stored checkpoint has besides are ignored, as they describe what was written. */
const rules: Readonly<Record<string, Rule>> = {
  ...variableRules,
  cursor: anything,
  ...Object.fromEntries(
    [
      ...['origin', 'sequence', 'read', 'written', 'failed', 'skipped', 'position', 'deadLetters', 'fields'],
      ...['pkField', 'queryDigest'],
    ].map((name) => [name, anything]),
  ),
  params: rule.optional(rule.anObject),
  startParams: rule.optional(rule.anObject),
}

/** What a reset uses of the definition of a job. */
type ResetJob = Pick<IngestionJob, 'id' | 'selectedBy' | 'partitions' | 'params'>

/** What resets an ingestion. */
export function resetOf(
  job: ResetJob,
  plan: IngestionPlan,
): Pick<LibraryJob, 'resetCheckpoint' | 'shownCheckpoint' | 'resetTarget'> {
  const { id } = job
  const { target } = plan
  return {
    resetCheckpoint: (value, time, signal) =>
      value === null ? null : checkpointOf(value, job, plan, { time, signal }),
    shownCheckpoint: (value) => shownOf(value, job, plan),
    async resetTarget({ checkpoint, executionId, ...request }) {
      const kept = checkpoint === null ? null : keptOf(checkpoint as Checkpoint)
      const last = executionId === undefined ? {} : { executionId }
      await target.resetCheckpoint?.({ type: 'ingestion', id, checkpoint: kept, ...request, ...last })
    },
  }
}

/** A checkpoint as a target stores it. */
function keptOf(checkpoint: Checkpoint): object {
  return { ...checkpoint, executionId: checkpoint.origin, detail: nothingRead }
}

async function checkpointOf(
  value: unknown,
  job: ResetJob,
  plan: IngestionPlan,
  { time, signal }: { time: number; signal: AbortSignal },
): Promise<Checkpoint> {
  const { id, partitions } = job
  const refusal = refusalOf(plan, partitions !== undefined)
  if (refusal !== undefined) throw invalid('checkpoint', `omitted, as ${refusal}`, value)
  const texts = withTextKeys(value)
  checkForm(texts, job, plan)
  const { cursor, params = storedParams(texts), startParams = params, ...variables } = texts as Checkpoint
  const isGiven = cursor !== undefined
  if (isGiven !== (plan.cursor !== undefined)) {
    const form = formOf(job, plan)
    const expected = plan.cursor ? `the position to resume from, as in ${form}` : 'omitted, as the job has no `cursor`'
    throw invalid('checkpoint.cursor', form && !plan.cursor ? `${expected}: it resumes from ${form}` : expected, cursor)
  }
  const given = variablesOf(variables)
  const missing = missingIn(given, plan)
  if (missing !== undefined)
    throw invalid('checkpoint', `an object with what the query resumes from, as in ${formOf(job, plan)}`, value)
  const selected = await selectedOf(startParams, job, plan)
  await checkIds(given, plan, { params: selected.all, signal })
  const counts = { read: 0, written: 0, failed: 0, skipped: 0 }
  return withFieldCount({
    origin: newExecutionId(id, time),
    sequence: 1,
    ...counts,
    ...given,
    ...(plan.cursor && { cursor: await positionOf(cursor, plan.cursor, plan, { params: selected.all, signal }) }),
    ...(selected.params && { params: selected.params }),
    ...startParamsOf(startParams ?? {}, selected.params, job.params),
  })
}

/** Throws `invalid_options` for a checkpoint of another form, and shows that of the job. */
function checkForm(value: unknown, job: ResetJob, plan: IngestionPlan): asserts value is Checkpoint {
  const form = formOf(job, plan)
  const expected = form ? `an object such as ${form}` : 'an object'
  if (!rule.anObject.accepts(value) || Array.isArray(value)) throw invalid('checkpoint', expected, value)
  const unknown = Object.keys(value as object).find((name) => !Object.hasOwn(rules, name))
  if (unknown !== undefined) {
    const { code, message } = invalid('checkpoint', expected, unknown)
    throw new JobError(code, `${message}${hintFor(unknown, ['cursor', 'params', ...Object.keys(variableRules)])}`)
  }
  checkOptions('checkpoint', value, rules, 'checkpoint.')
}

/** The form of a checkpoint that the job resumes from, for a message. `undefined` when only the query of the job, a function, knows it. */
function formOf({ selectedBy }: ResetJob, plan: IngestionPlan): string | undefined {
  const position = plan.cursor ? { cursor: sampleOf(plan.cursor.columns) } : sampleOf(neededNames(plan))
  if (Object.keys(position).length === 0) return undefined
  const names = selectedBy ?? plan.query.params ?? []
  return `\`${JSON.stringify({ ...position, ...(names.length > 0 && { params: sampleOf(names) }) })}\``
}

function sampleOf(names: readonly string[]): Readonly<Record<string, unknown>> {
  return Object.fromEntries(names.map((name) => [name, name === 'lastRecord' ? ['…'] : '…']))
}

/** The fields of a checkpoint that the query resumes from. */
function neededNames(plan: IngestionPlan): string[] {
  let given: Readonly<Record<string, unknown>> = {}
  for (let missing = missingIn(given, plan); missing !== undefined; missing = missingIn(given, plan)) {
    const name = optionOf(missing)
    if (Object.hasOwn(given, name)) break
    given = { ...given, ...sampleOf([name]) }
  }
  return Object.keys(given)
}

/** The parameters of a reset, which are those of a start: what the schema of the job makes of them, and those that select records. */
async function selectedOf(
  given: JobParams | undefined,
  { selectedBy, params: schema }: ResetJob,
  { query }: IngestionPlan,
): Promise<{ all: JobParams; params: JobParams | undefined }> {
  const names = selectedBy ?? query.params
  if (!given && names && names.length > 0) {
    const shown = names.map((name) => `\`${name}\``).join(', ')
    throw invalid('checkpoint.params', `an object with the parameters that select its records: ${shown}`, given)
  }
  if (!given) return { all: {}, params: undefined }
  const all = await validParams(schema, keptParams(given, 'checkpoint.params'), 'checkpoint.params')
  // Where `selectedBy` names a part of those that the query uses, a reset may give no others.
  if (!selectedBy) query.checkParams(all)
  return { all, params: selectionOf(all, names) }
}

/** The parameters of a checkpoint as it is stored, which has none when its run had none. */
function storedParams(checkpoint: unknown): JobParams | undefined {
  return Object.hasOwn(Object(checkpoint), 'sequence') ? {} : undefined
}

/** The same checkpoint with the texts of keys that are numbers, as the position of a cursor has them. */
function withTextKeys(value: unknown): unknown {
  if (!rule.anObject.accepts(value)) return value
  const given = value as Readonly<Record<string, unknown>>
  return readable('checkpoint', () => {
    if (Array.isArray(value)) return value
    const numbers = ['lastId', 'maxPrimaryKey'].filter((name) => Number.isSafeInteger(given[name]))
    return { ...given, ...Object.fromEntries(numbers.map((name) => [name, String(given[name])])) }
  })
}

/** A stored checkpoint in the form that a reset takes. `undefined` when no reset leads there, or it is the beginning. */
function shownOf(value: unknown, { partitions, selectedBy }: ResetJob, plan: IngestionPlan): unknown {
  if (refusalOf(plan, partitions !== undefined) !== undefined) return undefined
  const checkpoint = Object(value) as Partial<Checkpoint & ParentCheckpoint>
  const { sequence, refresh, isUnordered, scheme, bounds, params, startParams = params } = checkpoint
  if (sequence === 0 || refresh || isUnordered || scheme || bounds) return undefined
  const names = selectedBy ?? plan.query.params ?? []
  const selected = startParams ? { params: startParams } : names.length > 0 && { params: {} }
  if (!plan.cursor) {
    const variables = variablesOf(checkpoint)
    return missingIn(variables, plan) === undefined ? { ...neededOf(variables, plan), ...selected } : undefined
  }
  const { cursor } = checkpoint
  if (cursor === undefined) return undefined
  return { cursor: plan.datasource.shownPosition?.(cursor, plan.cursor) ?? cursor, ...selected }
}

/** The variables that the query resumes from. A function may use all. */
function neededOf(variables: QueryVariables, plan: IngestionPlan): QueryVariables {
  if (plan.query.params === undefined) return variables
  const isNeeded = (name: string) => missingIn({ ...variables, [name]: undefined }, plan) !== undefined
  return Object.fromEntries(Object.entries(variables).filter(([name]) => isNeeded(name)))
}

/** A variable that the query resumes from, and that `variables` lacks. */
function missingIn(variables: QueryVariables, { datasource, pkField, query }: IngestionPlan): string | undefined {
  const isKeyAsked = datasource.capabilities?.resumesAfterId === true && pkField !== undefined
  return isKeyAsked && variables.lastId === undefined ? 'last_id' : query.missingIn(variables)
}

/** The field of a checkpoint for a variable of a template: `lastId` for `last_id`. */
function optionOf(variable: string): string {
  return variable.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase())
}

/** How what a reset gives is checked: with its parameters, until the signal aborts. */
interface GivenCheck {
  readonly params: JobParams
  readonly signal: AbortSignal
}

/**
 * Throws `invalid_options` for an id that the column `pkField` of the query cannot have, as a position of a cursor over that column would. What
 * keeps the query from being read by such a cursor keeps its ids from being checked: the next run checks them.
 */
async function checkIds(given: QueryVariables, plan: IngestionPlan, check: GivenCheck): Promise<void> {
  const { pkField, datasource } = plan
  // Other sources would have to be read.
  if (pkField === undefined || plan.cursor || !datasource.capabilities?.requiresQuery) return
  for (const name of ['lastId', 'maxPrimaryKey'] as const) {
    const id = given[name]
    if (id === undefined) continue
    try {
      await positionOf({ [pkField]: id }, cursorOf(pkField), plan, check)
    } catch (error) {
      const { code, message } = error as JobError
      const start = `Expected \`checkpoint.cursor.${pkField}\` to be `
      if (code === 'invalid_options' && message.startsWith(start))
        throw new JobError(
          code,
          message.replace(start, () => `Expected \`checkpoint.${name}\` to be `),
        )
      if (check.signal.aborted || isTransient(error)) throw error
    }
  }
}

/** The position of a reset, checked before it replaces a good one. Throws `datasource` when the source cannot check it. */
async function positionOf(
  given: unknown,
  cursor: Cursor,
  { datasource, query }: IngestionPlan,
  { params, signal }: GivenCheck,
): Promise<unknown> {
  if (!datasource.givenPosition) return given
  const rendered = renderedFor(query, params)
  try {
    return await datasource.givenPosition(given, cursor, { signal, ...(rendered && { query: rendered }) })
  } catch (error) {
    if (signal.aborted || (JobError.isInstance(error) && error.code === 'invalid_options')) throw error
    const message = `The datasource [${datasource.kind}] could not check the checkpoint. Nothing was reset.`
    throw new JobError('datasource', message, { cause: thrownBy('datasource', 'givenPosition', error) })
  }
}

/** The query with the parameters of a reset. `undefined` when it needs others: a reset names only those that select records. */
function renderedFor(query: CompiledQuery, params: JobParams): Query | undefined {
  try {
    return query.render({ params })
  } catch {
    return undefined
  }
}

/** Why no execution would resume from a checkpoint. */
function refusalOf(
  { isResumable, startsOver, target, cursor }: IngestionPlan,
  isPartitioned: boolean,
): string | undefined {
  if (!isResumable || startsOver) return 'every run of the job starts from the beginning'
  if (target.strategy === 'replace')
    return 'a job that replaces begins at the beginning, or goes on where an interrupted run has stopped, which a reset without a checkpoint drops'
  return isPartitioned && !cursor ? 'each partition of the job resumes from its own checkpoint' : undefined
}
