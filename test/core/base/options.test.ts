import { checkOptions, rule } from 'headgate/adapter'
import { expect, test } from 'vitest'

const rules = Object.fromEntries(
  ['id', 'type', 'datasource', 'batchSize', 'batchBytes', 'maxRecords', 'onEnd'].map((name) => [
    name,
    rule.optional(rule.text),
  ]),
)
const check = (name: string) => () => checkOptions('job', { [name]: 'a' }, rules)

test.each([
  ['datasorce', 'datasource'],
  ['dataSource', 'datasource'],
  ['datasources', 'datasource'],
  ['onend', 'onEnd'],
  ['maxrecrods', 'maxRecords'],
  ['batchsise', 'batchSize'],
  ['batchByte', 'batchBytes'],
  ['ids', 'id'],
])('`%s` is probably `%s`', (name, meant) => {
  expect(check(name)).toThrow(`got \`${name}\` (string). Did you mean \`${meant}\`?`)
})

test.each(['source', 'it', 'tip', 'batch', 'size', 'records', '__proto__x', ''])('`%s` is no known name', (name) => {
  expect(check(name)).toThrow(/, got `.*` \(string\)$/)
})
