import { checkedAnswer, checkOptions, checkValue, isThenable, type Rule, rule } from '../../core/base/index.js'
import type { Query } from '../contract/index.js'

const aQuery: Rule = {
  accepts: (value) => rule.anObject.accepts(value) && !Array.isArray(value) && !isThenable(value),
  expected: '`{ text, values }`',
}

const queryRules = {
  text: rule.text,
  values: rule.optional({ accepts: Array.isArray, expected: 'an array' }),
} satisfies Record<keyof Query, Rule>

/** What a query function returned. Throws `invalid_options` when it is no query. */
export function checkedQuery(answer: unknown): Query {
  const { ...query } = checkedAnswer<Query>('invalid_options', 'the query function', aQuery, answer)
  checkOptions('query()', query, queryRules, 'query().')
  const { text, values = [] } = query
  for (const [index, value] of values.entries()) checkValue(`query().values[${index}]`, value, aValue)
  return { text, values }
}

/** What a driver takes for null without a word, or sends as a text of its own. */
const aValue: Rule = {
  accepts: (value) => value !== undefined && !/^(?:function|symbol)$/.test(typeof value) && !isNoValue(value),
  expected: 'a value that a database takes, or null',
  hint: (value) => (isThenable(value) ? '. Await it first' : ''),
}

function isNoValue(value: unknown): boolean {
  return isThenable(value) || value instanceof Map || value instanceof Set
}
