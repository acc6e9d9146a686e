import {
  checkedResult,
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
export function keptParams(value: unknown): Record<string, unknown> {
  const isObject = typeof value === 'object' && value !== null && !readable('params', () => Array.isArray(value))
  const lost = isObject ? lostInJson(value) : undefined
  if (lost) throw invalid(`params${lost.path}`, 'a value that JSON keeps', lost.value)
  const copy = isObject ? jsonCopyOf(value) : undefined
  if (copy === undefined) throw invalid('params', `a JSON object of up to ${maxParamsLength} characters`, value)
  const { length } = JSON.stringify(copy)
  if (length > maxParamsLength) {
    const message = `Expected \`params\` to be a JSON object of up to ${maxParamsLength} characters, got one of ${length}.`
    throw new JobError('invalid_options', message)
  }
  return copy as Record<string, unknown>
}

/** The parameters that a job receives: what its schema makes of those that were given. Throws `invalid_options`. */
export async function validParams(schema: StandardSchema | undefined, given: JobParams): Promise<JobParams> {
  if (!schema) return given
  const result = await resultOf(schema, given)
  if (result.issues) {
    const issues = issuesText(result.issues, 'params')
    throw new JobError('invalid_options', `Expected \`params\` to match the schema of the job. ${issues}.`)
  }
  const { value } = result
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as JobParams
  throw new JobError('invalid_options', 'Expected the schema of `params` to return an object.')
}

async function resultOf(schema: StandardSchema, given: JobParams): Promise<SchemaResult> {
  let result: unknown
  try {
    const answer: unknown = schema['~standard'].validate(given)
    result = isThenable(answer) ? await answer : answer
  } catch (cause) {
    throw new JobError('invalid_options', 'The schema of `params` threw.', { cause, isTransient: false })
  }
  return checkedResult('invalid_options', result, { isTransient: false })
}
