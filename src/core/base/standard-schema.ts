import type { JobErrorCode, JobErrorOptions } from './errors.js'
import { answerOf } from './isolate.js'
import { badAnswer, type Rule } from './validation.js'

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

/** The answer of a schema. Throws `code` when it is none, as that of a schema of one's own may be. */
export function checkedResult(code: JobErrorCode, answer: unknown, options?: JobErrorOptions): SchemaResult {
  if (answerOf(() => isResult(answer)) === true) return answer as SchemaResult
  const expected = 'an object with `value`, or with `issues`, an array of objects with `message`'
  throw badAnswer(code, 'validate() of the schema', expected, answer, options)
}

function isResult(answer: unknown): boolean {
  if (typeof answer !== 'object' || answer === null) return false
  const { issues } = answer as Partial<SchemaResult>
  if (!issues) return 'value' in answer
  return Array.isArray(issues) && issues.every((issue) => typeof Object(issue).message === 'string')
}

/** Maximum number of issues that a message shows. */
const maxIssues = 5

/** The issues of a value, for a message. `prefix` goes before the places. */
export function issuesText(issues: readonly SchemaIssue[], prefix = ''): string {
  const texts = issues.slice(0, maxIssues).map(({ message, path = [] }) => {
    const place = path.map(keyOf).reduce<string>(withKey, prefix)
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
