import {
  checkValue,
  executionOrder,
  invalid,
  isJson,
  JobError,
  maxJsonDepth,
  type Rule,
  rule,
} from '../../core/base/index.js'
import { type IngestionDetail, maxPartitions, type PartitionPlan } from '../contract/index.js'
import { hasAllFields } from '../definition/index.js'
import {
  type Checkpoint,
  type KeptCheckpoint,
  type KeptParentCheckpoint,
  type ParentCheckpoint,
  remedy,
} from './checkpoint.js'
import { storedFailures } from './failed-records.js'
import { maxKeyLength } from './key-text.js'

/**
 * Stored data is foreign input: others may write to a shared storage, and to the table of a target. Each function here returns its
 * argument, or throws `checkpoint` with the field and the remedy.
 */
type Rules = Readonly<Record<string, Rule>>

/** Maximum number of columns of the last record. */
const maxColumns = 10_000

const key: Rule = {
  accepts: (value) => typeof value === 'string' && value.length <= maxKeyLength,
  expected: `a string of up to ${maxKeyLength} characters`,
}

const name: Rule = {
  accepts: (value) => key.accepts(value) && value !== '',
  expected: `a string of 1 to ${maxKeyLength} characters`,
}

const executionId: Rule = {
  accepts: (value) => name.accepts(value) && executionOrder(value as string) !== undefined,
  expected: 'the id of an execution',
}

const time: Rule = {
  accepts: (value) => typeof value === 'string' && value.length <= 30 && /^[+-]?\d+-[\dT:.-]+Z$/.test(value),
  expected: 'a time in ISO 8601',
}

const scalars: Rule = {
  accepts: (value) => Array.isArray(value) && value.length <= maxColumns && value.every(isScalar),
  expected: `an array of up to ${maxColumns} texts, numbers, booleans and nulls`,
}

const bounds: Rule = {
  accepts: (value) =>
    Array.isArray(value) &&
    value.length < maxPartitions &&
    value.every(key.accepts) &&
    new Set(value).size === value.length,
  expected: `an array of up to ${maxPartitions - 1} different texts`,
}

const anything: Rule = { accepts: () => true, expected: 'anything', optional: true }

const count = rule.whole(0)

/** The rules of what a query resumes from. */
export const variableRules: Rules = {
  lastId: rule.optional(key),
  maxPrimaryKey: rule.optional(key),
  lastRecordTimestamp: rule.optional(time),
  lastRecord: rule.optional(scalars),
}

const own: Rules = {
  origin: executionId,
  sequence: count,
  read: rule.optional(count),
  repeats: rule.optional(count),
  written: rule.optional(count),
  failed: rule.optional(count),
  skipped: rule.optional(count),
  ...variableRules,
  pkField: rule.optional(key),
  refresh: rule.optional(rule.flag),
  isUnordered: rule.optional(rule.flag),
  isDone: rule.optional(rule.flag),
  bounds: rule.optional(bounds),
  params: rule.optional(rule.anObject),
  fields: rule.optional(count),
  startParams: rule.optional(rule.anObject),
  queryDigest: rule.optional(key),
}

const countsRules: Rules = { origin: executionId, read: count, failed: count, skipped: count }

const rangeRules: Rules = { from: rule.optional(key), until: rule.optional(key) }

const schemeRules: Rules = {
  id: executionId,
  bounds,
  columns: rule.optional({
    accepts: (value) => Array.isArray(value) && value.length <= maxColumns && value.every(key.accepts),
    expected: `an array of up to ${maxColumns} names`,
  }),
  snapshot: rule.optional(name),
  isContinued: rule.optional(rule.flag),
  isResumed: rule.flag,
  isKept: rule.optional(rule.flag),
  position: anything,
  counted: rule.optional({
    accepts: (value) => Array.isArray(value) && value.length <= maxPartitions,
    expected: `an array of up to ${maxPartitions} counts`,
  }),
}

const detailRules: Rules = {
  ...{ read: count, written: count, failed: count, skipped: count, withoutCursor: rule.optional(count) },
  consistency: rule.optional(rule.oneOf('statement', 'snapshot', 'pages')),
  split: rule.optional(rule.flag),
  fullRefresh: rule.optional(rule.oneOf('replace', 'merge', 'truncate')),
}

/** Where a checkpoint is stored. */
export type Holder = 'storage' | 'the target'

/** The checkpoint of a job or of a partition. That of a partition has the name of a scheme. */
export function storedCheckpoint(value: unknown): Checkpoint | ParentCheckpoint | undefined {
  if (value === undefined) return undefined
  checkCheckpoint('storage', value)
  return value as Checkpoint | ParentCheckpoint
}

/** The checkpoint of a partition. */
export function storedPartitionCheckpoint(value: unknown): Checkpoint | undefined {
  const checkpoint = storedCheckpoint(value)
  if (checkpoint) checkFields('storage', 'checkpoint', checkpoint, { scheme: executionId })
  return checkpoint as Checkpoint | undefined
}

/** The checkpoint of a job with partitions. */
export function storedParentCheckpoint(value: unknown): ParentCheckpoint | undefined {
  const checkpoint = storedCheckpoint(value)
  if (typeof checkpoint?.scheme === 'string') checkScheme('storage', checkpoint.scheme)
  return checkpoint as ParentCheckpoint | undefined
}

/** The checkpoint of a job with partitions that a target stores. */
export function keptParentCheckpoint(value: unknown): KeptParentCheckpoint {
  const { scheme } = keptCheckpoint(value)
  if (typeof scheme === 'string') checkScheme('the target', scheme)
  return value as KeptParentCheckpoint
}

/** The checkpoint that a target stores with the records. */
export function keptCheckpoint(value: unknown): KeptCheckpoint {
  checkCheckpoint('the target', value)
  checkFields('the target', 'checkpoint', value, { executionId })
  const kept = value as KeptCheckpoint
  checkFields('the target', 'checkpoint.detail', kept.detail, detailRules)
  return kept
}

/** The keys of dead letters that their target stores. */
export function keptKeys(value: unknown): readonly string[] {
  const keys: unknown = Object(value).keys ?? []
  if (Array.isArray(keys) && keys.every(key.accepts)) return keys
  throw damaged('the target', invalid('checkpoint.keys', 'an array of texts', keys))
}

/** The counts of an execution, without what an earlier attempt has measured and listed. */
export function storedDetail(value: unknown): IngestionDetail | undefined {
  if (value === undefined) return undefined
  checkFields('storage', 'detail', value, detailRules)
  const {
    attempt,
    rowsPerSecond,
    bytes,
    bytesPerSecond,
    position,
    lag,
    partitions,
    latestFailures,
    replaced,
    ...counts
  } = value as IngestionDetail
  const failures = storedFailures(latestFailures)
  return { ...counts, ...(failures && { latestFailures: failures }) }
}

function checkCheckpoint(holder: Holder, value: unknown): void {
  checkFields(holder, 'checkpoint', value, {})
  if (!isJson(value)) {
    throw damaged(holder, invalid('checkpoint', `an object nested up to ${maxJsonDepth} deep`, value))
  }
  checkFields(holder, 'checkpoint', value, own)
  const { scheme, range } = value as { scheme?: unknown; range?: unknown }
  if (scheme !== undefined && typeof scheme !== 'object')
    checkFields(holder, 'checkpoint', value, { scheme: executionId })
  else if (scheme !== undefined) checkScheme(holder, scheme)
  if (range !== undefined) checkFields(holder, 'checkpoint.range', range, rangeRules)
  if (!hasAllFields(value)) throw damagedField(holder, 'checkpoint', 'complete, as `checkpoint.fields` counts others')
}

function checkScheme(holder: Holder, value: unknown): void {
  checkFields(holder, 'checkpoint.scheme', value, schemeRules)
  const { counted = [] } = value as PartitionPlan
  for (const [n, counts] of counted.entries()) {
    if (counts !== null) checkFields(holder, `checkpoint.scheme.counted[${n}]`, counts, countsRules)
  }
}

function checkFields(holder: Holder, path: string, value: unknown, rules: Rules): void {
  try {
    checkValue(path, value, anObject)
    for (const [field, rule] of Object.entries(rules)) {
      checkValue(`${path}.${field}`, (value as Record<string, unknown>)[field], rule)
    }
  } catch (error) {
    throw damaged(holder, error)
  }
}

const anObject: Rule = {
  accepts: (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  expected: 'an object',
}

function damaged(holder: Holder, error: unknown): JobError {
  const { message } = error as JobError
  return new JobError('checkpoint', `The checkpoint in ${holder} was damaged. ${message}: ${remedy}`)
}

/** The error for a field that is well-formed but contradicts others. */
export function damagedField(holder: Holder, field: string, expected: string, options?: ErrorOptions): JobError {
  return new JobError(
    'checkpoint',
    `The checkpoint in ${holder} was damaged. Expected \`${field}\` to be ${expected}: ${remedy}`,
    options,
  )
}

function isScalar(value: unknown): boolean {
  return value === null || ['string', 'number', 'boolean'].includes(typeof value)
}
