import { commonRedactor } from '../redaction/index.js'
import type { Clock } from './clock.js'
import { JobError, type JobErrorCode, type JobErrorOptions } from './errors.js'
import { answerOf } from './isolate.js'
import { ignoreRejections } from './promises.js'

/** The rule for an option: a test, and its description for the message. */
export interface Rule {
  /** Whether the value is acceptable. */
  accepts(value: unknown): boolean
  /** Completes "Expected `x` to be …". */
  expected: string
  /** Whether `undefined` is acceptable too. */
  optional?: boolean
  /** Completes the message for a value that is not acceptable. */
  hint?(value: unknown): string
}

/** The error for one invalid value: names the field, what was expected and what was given. */
export function invalid(field: string, expected: string, value: unknown, options?: ErrorOptions): JobError {
  return new JobError('invalid_options', `Expected \`${field}\` to be ${expected}, got ${show(value)}`, options)
}

/** The error for an adapter whose method breaks its contract. */
export function badAnswer(
  code: JobErrorCode,
  method: string,
  expected: string,
  value: unknown,
  options?: JobErrorOptions,
): JobError {
  return new JobError(code, `Expected ${method} to return ${expected}, got ${show(value)}.`, options)
}

/** What code of the user answers at once. Throws when it is not what `rule` accepts, such as a promise. */
export function checkedAnswer<Answer>(code: JobErrorCode, method: string, rule: Rule, answer: unknown): Answer {
  if (((answer ?? undefined) === undefined && rule.optional) || isAccepted(rule, answer)) return answer as Answer
  throw badAnswer(code, method, rule.expected, answer)
}

/** What else the error for an unknown name says. */
export type NameHint = (name: string, known: readonly string[]) => string

/** The same as `checkOptions`, in little code: without a hint, the error for an unknown name suggests none. */
export function checkOptionsBriefly(
  where: string,
  options: unknown,
  rules: Record<string, Rule>,
  prefix = '',
  hint: NameHint = () => '',
): void {
  if (!isObject(options)) throw invalid(where, 'an object', options)
  const known = Object.keys(rules)
  for (const name of namesIn(where, options)) {
    if (Object.hasOwn(rules, name)) continue
    const { code, message } = invalid(where, `an object with ${list(known)}`, name)
    throw new JobError(code, `${message}${hint(name, known)}`)
  }
  for (const name of known) {
    checkValue(
      `${prefix}${name}`,
      readable(`${prefix}${name}`, () => options[name], 'a property that can be read'),
      rules[name] as Rule,
    )
  }
}

function namesIn(where: string, options: object): string[] {
  return readable(where, () => Object.keys(options))
}

/** What `read` returns. Throws `invalid_options` for what cannot be read, such as a revoked proxy or a getter that throws. */
export function readable<Value>(
  field: string,
  read: () => Value,
  expected = 'an object whose properties can be read',
): Value {
  try {
    return read()
  } catch (cause) {
    if (JobError.isInstance(cause)) throw cause
    throw new JobError('invalid_options', `Expected \`${field}\` to be ${expected}`, { cause })
  }
}

/** Whether a rule accepts a value. None accepts one that cannot be read. */
function isAccepted(rule: Rule, value: unknown): boolean {
  return answerOf(() => rule.accepts(value)) === true
}

/** Throws `invalid_options` unless `value` matches `rule`. */
export function checkValue(field: string, value: unknown, rule: Rule): void {
  if (value === undefined && rule.optional) return
  if (isAccepted(rule, value)) return
  const { code, message } = invalid(field, rule.expected, value)
  // The value may refuse to be read.
  const hint = answerOf(() => rule.hint?.(value))
  throw new JobError(code, `${message}${typeof hint === 'string' ? hint : ''}`)
}

/** Maximum length of a job id, in UTF-16 code units. */
const maxIdLength = 512

const idRule: Rule = {
  accepts: (value) => typeof value === 'string' && value !== '' && value.length <= maxIdLength && isStorable(value),
  expected: `a string of 1 to ${maxIdLength} well-formed characters without NUL`,
}

/** The building blocks of rules. */
export const rule = {
  /** The same rule, with `undefined` allowed. */
  optional: (rule: Rule): Rule => ({ ...rule, optional: true }),
  /** A whole number from `min` up to `max`. */
  whole: (min: number, max = Number.MAX_SAFE_INTEGER): Rule => ({
    accepts: (value) => Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max,
    expected:
      max === Number.MAX_SAFE_INTEGER ? `a whole number from ${min} up` : `a whole number from ${min} to ${max}`,
  }),
  /** A whole number of milliseconds from `min` up to `max`. */
  milliseconds: (min: number, max?: number): Rule => {
    const { accepts, expected } = rule.whole(min, max)
    return { accepts, expected: expected.replace('number', 'number of milliseconds') }
  },
  /** A point in time. */
  time: {
    accepts: (value) => Number.isSafeInteger(value) && (value as number) >= 0,
    expected: 'a time, as a whole number of milliseconds since 1970',
  } satisfies Rule,
  /** A number from 0 to 1. */
  share: {
    accepts: (value) => typeof value === 'number' && value >= 0 && value <= 1,
    expected: 'a number from 0 to 1',
  } satisfies Rule,
  /** An object. */
  anObject: { accepts: isObject, expected: 'an object' } satisfies Rule,
  /** One of the given words. */
  oneOf: (...words: readonly string[]): Rule => ({
    accepts: (value) => words.includes(value as string),
    expected: `one of ${list(words)}`,
  }),
  /** An object with the given methods. */
  having: (...methods: readonly string[]): Rule => ({
    accepts: (value) => isObject(value) && methods.every((method) => typeof value[method] === 'function'),
    expected: `an object with the method${methods.length > 1 ? 's' : ''} ${list(methods)}`,
    hint: callIt,
  }),
  /** A function. */
  aFunction: { accepts: (value) => typeof value === 'function', expected: 'a function' } satisfies Rule,
  /** A {@link Clock}. */
  aClock: {
    accepts: (value) => isClock(value) && Number.isFinite(answerOf(() => value.now())),
    expected: 'an object with the methods `now`, which gives a number at once, and `setTimer`',
  } satisfies Rule,
  /** Nothing that is awaited. */
  nothingLater: { accepts: (value) => !(value instanceof Promise), expected: 'nothing, and at once' } satisfies Rule,
  /** A string that is not empty. */
  text: {
    accepts: (value) => typeof value === 'string' && value !== '',
    expected: 'a string that is not empty',
  } satisfies Rule,
  /** Text of up to `max` characters that every storage can hold. */
  shortText: (max: number): Rule => ({
    accepts: (value) => typeof value === 'string' && value !== '' && value.length <= max && isStorable(value),
    expected: `a string of 1 to ${max} well-formed characters without NUL`,
  }),
  /** `true` or `false`. */
  flag: { accepts: (value) => typeof value === 'boolean', expected: 'true or false' } satisfies Rule,
  /** The id of a job: valid in every storage and URL. */
  jobId: idRule,
  /** The type of a job: an id that does not begin like a call of the HTTP API. */
  jobType: {
    accepts: (value) => idRule.accepts(value) && !(value as string).startsWith('_'),
    expected: `${idRule.expected}, not beginning with "_"`,
  } satisfies Rule,
} as const

/** A function in place of what it makes, such as `memoryStorage` in place of `memoryStorage()`. */
function callIt(value: unknown): string {
  return typeof value === 'function' ? ': call it' : ''
}

function isClock(value: unknown): value is Clock {
  return isObject(value) && typeof value.now === 'function' && typeof value.setTimer === 'function'
}

function isStorable(value: string): boolean {
  return !value.includes('\0') && value.isWellFormed()
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

function list(words: readonly string[]): string {
  return words.map((word) => `\`${word}\``).join(', ')
}

/** The class of an object of the language, such as a date. Reading it may throw. */
function classOf(value: object): string | undefined {
  try {
    const [, name] = /^\[object (\w+)\]$/.exec(Object.prototype.toString.call(value)) ?? []
    return name && name !== 'Object' ? `an object of the class ${name}` : undefined
  } catch {
    return undefined
  }
}

function show(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (value === null) return 'null'
  if (answerOf(() => Array.isArray(value)) === true) return 'an array'
  if (answerOf(() => value instanceof Promise) === true) {
    ignoreRejections([value])
    return 'a promise'
  }
  if (typeof value === 'function') return 'a function'
  if (typeof value === 'object') return classOf(value) ?? `a value of type ${typeof value}`
  return `\`${commonRedactor.shorten(String(value), 100)}\` (${typeof value})`
}
