import { checkOptionsBriefly, type Rule, rule } from '../core/base/index.js'
import { jobStates } from '../core/model/index.js'

const { optional, text, flag, anObject, aFunction } = rule

const whole = rule.whole(0)
const anything: Rule = { accepts: () => true, expected: '' }

/** The options of a client. */
export const clientRules = {
  url: {
    accepts: isAddress,
    expected:
      'an http or https address or a path, without a user, and without a slash, a query or a fragment at its end',
  },
  fetch: optional(aFunction),
  headers: optional({
    accepts: (value) => typeof value === 'function' || (typeof value === 'object' && value !== null),
    expected: 'an object, or a function that gives one',
  }),
  maxAnswer: optional(rule.whole(1)),
  clock: optional(rule.aClock),
}

function isAddress(value: unknown): boolean {
  if (typeof value !== 'string' || !/^[^?#]*[^?#/]$/.test(value)) return false
  return /^[\w+.-]+:/.test(value) ? /^https?:\/\/[^/@]+(\/|$)/i.test(value) : true
}

/** The options of all calls. The server checks most of them again; but some are sent as texts, or not at all. */
const known = {
  signal: rule.having('addEventListener', 'removeEventListener'),
  detail: flag,
  force: flag,
  fullRefresh: flag,
  includeQueued: flag,
  params: anObject,
  headers: anObject,
  checkpoint: anything,
  path: anything,
  search: anything,
  body: anything,
  timeout: whole,
  startTimeFrom: whole,
  startTimeTo: whole,
  from: whole,
  size: whole,
  reason: text,
  executionId: text,
  by: text,
  type: text,
  id: text,
  searchAfter: text,
  method: text,
  state: rule.oneOf(...jobStates),
  onGap: aFunction,
}

/**
 * The options of a call, which accepts those with the given names, and `signal`. Throws `invalid_options` for an unknown name and an
 * invalid value.
 */
export function checked<Options extends object>(
  options: Options | undefined,
  ...names: Exclude<keyof Options & keyof typeof known, 'signal'>[]
): Partial<Options> {
  const rules = ['signal' as const, ...names].map((name) => [name, optional(known[name])])
  checkOptionsBriefly('options', options ?? {}, Object.fromEntries(rules))
  return options ?? {}
}
