import { JobError, type Rule } from '../../core/base/index.js'
import { RecordBatch } from '../contract/index.js'
import type { Tolerates, TransformedBatch, TransformFailure } from './transformed-batch.js'

/**
 * A schema by the interface of [Standard Schema](https://standardschema.dev), which zod, valibot, arktype and others implement.
 * `Output` is the type of a valid value.
 */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly '~standard': {
    /** The version of the interface. */
    readonly version: 1
    /** The library. */
    readonly vendor: string
    /** Validates a value, sync or async. */
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>
    /** The types, for the compiler only. */
    readonly types?: { readonly input: Input; readonly output: Output } | undefined
  }
}

/** What a schema returns for a value: the valid one, which may be another, or why it is not valid. */
export type SchemaResult<Output = unknown> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] }

/** Why a value is not valid, and the place in it. */
export interface SchemaIssue {
  readonly message: string
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined
}

/** Schemas may be functions, as those of arktype are. */
export const schemaRule: Rule = {
  accepts: (value) => {
    const { '~standard': standard } = Object(value) as Partial<StandardSchema>
    return standard?.version === 1 && typeof standard.validate === 'function'
  },
  expected: 'a schema that implements Standard Schema version 1, as those of zod, valibot and arktype do',
}

/** Validates each record of a batch. The valid ones are the batch of the result. */
export async function validated(
  batch: RecordBatch,
  schema: StandardSchema,
  mayFail: Tolerates,
): Promise<TransformedBatch> {
  const records: object[] = []
  const origins: number[] = []
  const failures: TransformFailure[] = []
  const from = batch.records()
  for (let index = 0; index < from.length; index++) {
    try {
      const answer = schema['~standard'].validate(from[index])
      // Awaiting only promises keeps synchronous schemas several times as fast.
      const result = answer instanceof Promise ? await answer : answer
      records.push(recordIn(result))
      origins.push(index)
    } catch (error) {
      const failure = JobError.isInstance(error) ? error : new JobError('schema', 'The schema threw.', { cause: error })
      if (!mayFail(failure)) throw failure
      failures.push({ index, error: failure })
    }
  }
  const valid = RecordBatch.fromRecords(records)
  return { batch: valid as RecordBatch, skipped: 0, failures, originOf: (index) => origins[index] }
}

function recordIn(result: SchemaResult): object {
  if (result.issues) throw new JobError('schema', `The record does not match the schema: ${shown(result.issues)}.`)
  const { value } = result
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
  throw new JobError('schema', `Expected the schema to return an object, got a value of type ${typeof value}.`)
}

/** Maximum number of issues that a message shows. */
const maxIssues = 5

function shown(issues: readonly SchemaIssue[]): string {
  const texts = issues.slice(0, maxIssues).map(({ message, path = [] }) => {
    const place = path.map(keyOf).reduce<string>(withKey, '')
    return place === '' ? message : `\`${place}\`: ${message}`
  })
  const left = issues.length - texts.length
  return [...texts, ...(left > 0 ? [`and ${left} more`] : [])].join('; ')
}

function keyOf(segment: PropertyKey | { readonly key: PropertyKey }): PropertyKey {
  return typeof segment === 'object' ? segment.key : segment
}

function withKey(place: string, key: PropertyKey): string {
  if (typeof key === 'number') return `${place}[${key}]`
  return place === '' ? String(key) : `${place}.${String(key)}`
}
