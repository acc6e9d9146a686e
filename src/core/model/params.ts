import {
  checkedResult,
  hasMoreValues,
  invalid,
  issuesText,
  isThenable,
  JobError,
  jsonCopyOf,
  lostInJson,
  type Rule,
  readable,
  rule,
  type SchemaResult,
  type StandardSchema,
  schemaRule,
} from '../base/index.js'

/** The parameters of an execution: a JSON object. */
export type JobParams = Readonly<Record<string, unknown>>

/** Maximum length of the JSON of parameters, in characters. */
const maxParamsLength = 10_000

/** The rule of the schema for parameters of a job. */
export const paramsRule: Rule = rule.optional(schemaRule)

/** A copy of parameters. Throws `invalid_options` for what is no JSON object that storage keeps. */
export function keptParams(value: unknown, name = 'params'): Record<string, unknown> {
  const isObject = typeof value === 'object' && value !== null && !readable(name, () => Array.isArray(value))
  const isTooLong = isObject && hasMoreValues(value, maxParamsLength)
  const lost = isObject && !isTooLong ? lostInJson(value) : undefined
  if (lost) throw invalid(`${name}${lost.path}`, 'a value that JSON keeps', lost.value)
  const copy = isObject && !isTooLong ? jsonCopyOf(value) : undefined
  if (copy === undefined) throw invalid(name, `a JSON object of up to ${maxParamsLength} characters`, value)
  const { length } = JSON.stringify(copy)
  if (length > maxParamsLength) {
    const message = `Expected \`${name}\` to be a JSON object of up to ${maxParamsLength} characters, got one of ${length}.`
    throw new JobError('invalid_options', message)
  }
  return copy as Record<string, unknown>
}

/**
 * The parameters that a job receives: what its schema makes of those that were given. A promise where the schema answers with one. Throws
 * `invalid_options`. `name` is that of the parameters in its messages.
 */
export function validParams(
  schema: StandardSchema | undefined,
  given: JobParams,
  name = 'params',
): JobParams | Promise<JobParams> {
  if (!schema) return given
  const result = resultOf(schema, given)
  return result instanceof Promise ? result.then((later) => accepted(later, name)) : accepted(result, name)
}

function accepted(result: SchemaResult, name: string): JobParams {
  if (result.issues) {
    const issues = issuesText(result.issues, name)
    throw new JobError('invalid_options', `Expected \`${name}\` to match the schema of the job. ${issues}.`)
  }
  const { value } = result
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as JobParams
  throw new JobError('invalid_options', 'Expected the schema of `params` to return an object.')
}

function resultOf(schema: StandardSchema, given: JobParams): SchemaResult | Promise<SchemaResult> {
  const fail = (cause: unknown): never => {
    throw new JobError('invalid_options', 'The schema of `params` threw.', { cause, isTransient: false })
  }
  const check = (result: unknown) => checkedResult('invalid_options', result, { isTransient: false })
  let answer: unknown
  try {
    answer = schema['~standard'].validate(given)
  } catch (cause) {
    return fail(cause)
  }
  return isThenable(answer) ? Promise.resolve(answer).catch(fail).then(check) : check(answer)
}
