import { JobError } from '../core/errors.js'
import { isJson, maxJsonDepth } from '../core/json.js'
import { checkValue, invalid, type Rule, rule } from '../core/options.js'
import { maxKeyLength } from './_key-text.js'
import {
  type Checkpoint,
  type KeptCheckpoint,
  type KeptWholeCheckpoint,
  remedy,
  type WholeCheckpoint,
} from './checkpoint.js'
import type { IngestionDetail } from './detail.js'
import { maxParts } from './partitions.js'

/**
 * What was stored is foreign input, whoever stored it: others may write to a shared storage, and to the table of a target. Each of these
 * gives what it was given, or throws `checkpoint`, naming the field and the way out.
 */

type Rules = Readonly<Record<string, Rule>>

/** The most columns that the last record may have. */
const maxColumns = 10_000

const key: Rule = {
  accepts: (value) => typeof value === 'string' && value.length <= maxKeyLength,
  expected: `a string of up to ${maxKeyLength} characters`,
}

const name: Rule = {
  accepts: (value) => key.accepts(value) && value !== '',
  expected: `a string of 1 to ${maxKeyLength} characters`,
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
    Array.isArray(value) && value.length < maxParts && value.every(key.accepts) && new Set(value).size === value.length,
  expected: `an array of up to ${maxParts - 1} different texts`,
}

const anything: Rule = { accepts: () => true, expected: 'anything', optional: true }

const count = rule.whole(0)

const variables: Rules = {
  lastId: rule.optional(key),
  maxPrimaryKey: rule.optional(key),
  lastRecordTimestamp: rule.optional(time),
  lastRecord: rule.optional(scalars),
}

const own: Rules = {
  origin: name,
  sequence: count,
  written: rule.optional(count),
  ...variables,
  isUnordered: rule.optional(rule.flag),
  bounds: rule.optional(bounds),
}

const rangeRules: Rules = { from: rule.optional(key), until: rule.optional(key) }

const schemeRules: Rules = {
  id: name,
  bounds,
  snapshot: rule.optional(name),
  isContinued: rule.optional(rule.flag),
  isResumed: rule.flag,
  position: anything,
}

const detailRules: Rules = {
  ...{ read: count, written: count, failed: count, skipped: count, withoutCursor: rule.optional(count) },
  consistency: rule.optional(rule.oneOf('statement', 'snapshot', 'pages')),
  split: rule.optional(rule.flag),
}

type Holder = 'storage' | 'the target'

/** A checkpoint of a job or of a part. Which of both, its `scheme` tells: that of a part is a name. */
export function storedCheckpoint(value: unknown): Checkpoint | WholeCheckpoint | undefined {
  if (value === undefined) return undefined
  checkCheckpoint('storage', value)
  return value as Checkpoint | WholeCheckpoint
}

/** The checkpoint of a job that is cut. */
export function storedWholeCheckpoint(value: unknown): WholeCheckpoint | undefined {
  const checkpoint = storedCheckpoint(value)
  if (typeof checkpoint?.scheme === 'string') checkScheme('storage', checkpoint.scheme)
  return checkpoint as WholeCheckpoint | undefined
}

/** The checkpoint that a target keeps of a job that is cut. */
export function keptWholeCheckpoint(value: unknown): KeptWholeCheckpoint {
  const { scheme } = keptCheckpoint(value)
  if (typeof scheme === 'string') checkScheme('the target', scheme)
  return value as KeptWholeCheckpoint
}

/** The checkpoint that a target keeps beside the records. */
export function keptCheckpoint(value: unknown): KeptCheckpoint {
  checkCheckpoint('the target', value)
  checkFields('the target', 'checkpoint', value, { executionId: name })
  const kept = value as KeptCheckpoint
  checkFields('the target', 'checkpoint.detail', kept.detail, detailRules)
  return kept
}

/** The keys of dead letters that their target keeps. */
export function keptKeys(value: unknown): readonly string[] {
  const keys: unknown = Object(value).keys ?? []
  if (Array.isArray(keys) && keys.every(key.accepts)) return keys
  throw damaged('the target', invalid('checkpoint.keys', 'an array of texts', keys))
}

/** What an execution has counted. */
export function storedDetail(value: unknown): IngestionDetail | undefined {
  if (value === undefined) return undefined
  checkFields('storage', 'detail', value, detailRules)
  return value as IngestionDetail
}

function checkCheckpoint(holder: Holder, value: unknown): void {
  checkFields(holder, 'checkpoint', value, {})
  if (!isJson(value)) {
    throw damaged(holder, invalid('checkpoint', `an object nested up to ${maxJsonDepth} deep`, value))
  }
  checkFields(holder, 'checkpoint', value, own)
  const { scheme, range } = value as { scheme?: unknown; range?: unknown }
  if (scheme !== undefined && typeof scheme !== 'object') checkFields(holder, 'checkpoint', value, { scheme: name })
  else if (scheme !== undefined) checkScheme(holder, scheme)
  if (range !== undefined) checkFields(holder, 'checkpoint.range', range, rangeRules)
}

function checkScheme(holder: Holder, value: unknown): void {
  checkFields(holder, 'checkpoint.scheme', value, schemeRules)
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

/** What is wrong with a field that only its meaning shows to be damaged. */
export function damagedField(field: string, expected: string): JobError {
  return new JobError(
    'checkpoint',
    `The checkpoint in storage was damaged. Expected \`${field}\` to be ${expected}: ${remedy}`,
  )
}

function isScalar(value: unknown): boolean {
  return value === null || ['string', 'number', 'boolean'].includes(typeof value)
}
