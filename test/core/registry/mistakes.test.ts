import { errorMessages, JobRegistry, memoryStorage } from 'headgate'
import { createJobsHandler } from 'headgate/http'
import { iterableDatasource } from 'headgate/iterable'
import { expect, onTestFinished, test } from 'vitest'

function open(options: object = {}): JobRegistry {
  const registry = new JobRegistry({ storage: memoryStorage(), ...options })
  onTestFinished(() => registry.close())
  return registry
}

test('a function in place of what it makes', () => {
  expect(() => open({ storage: memoryStorage })).toThrow(/^Expected `storage` to be .*, got a function: call it$/)
  const job = { id: 'a', datasource: iterableDatasource, target: () => {} }
  expect(() => open().define(job as never)).toThrow(/^Expected `datasource` to be .*, got a function: call it$/)
})

test.each([
  ['datasource', 'datasources'],
  ['ratelimit', 'rateLimit'],
  ['storages', 'storage'],
])('a misspelt option `%s` of a registry', (name, meant) => {
  expect(() => open({ [name]: {} })).toThrow(`Did you mean \`${meant}\`?`)
})

test('datasources without names', () => {
  for (const datasources of [[iterableDatasource([])], [], null, iterableDatasource]) {
    expect(() => open({ datasources })).toThrow('Expected `datasources` to be an object of datasources by their names')
  }
})

test('a misspelt job: the error says which one was meant, and the HTTP API does not', async () => {
  const registry = open()
  registry.define({ id: 'good', datasource: iterableDatasource([]), target: () => {} })
  const error = await registry.start('ingestion', 'goood').catch((error: unknown) => error)
  expect(errorMessages(error)).toEqual(['No job [ingestion/goood] is defined.', 'Did you mean `ingestion/good`?'])
  const other = await registry.start('ingestion', 'else').catch((error: unknown) => error)
  expect(errorMessages(other)).toEqual(['No job [ingestion/else] is defined.'])
  const url = 'http://localhost/_siren/connector/jobs/ingestion/goood/_start'
  const answer = await createJobsHandler(registry)(new Request(url, { method: 'POST' }))
  expect(await answer.text()).not.toContain('good`')
})

test('calls without the names of a job', async () => {
  const registry = open()
  const names = { type: 'test', id: 'a' } as never
  await expect(registry.abort(names, undefined as never)).rejects.toThrow('Expected `type` to be a string')
  await expect(registry.abort('test', undefined as never)).rejects.toThrow('Expected `id` to be a string')
  await expect(registry.status('test', undefined as never)).rejects.toThrow('Expected `id` to be a string')
  await expect(registry.running(undefined as never)).rejects.toThrow('Expected `type` to be a string')
  expect(() => registry.has('test', '')).toThrow('Expected `id` to be a string')
})

test('a search from a later time than it ends', async () => {
  const search = open().search({ startTimeFrom: 1_700_000_000_001, startTimeTo: 1_700_000_000_000 })
  await expect(search).rejects.toThrow('Expected `startTimeTo` to be `startTimeFrom`, 1700000000001, or later, got')
})
