import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { Validator } from '@seriousme/openapi-schema-validator'
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import fc from 'fast-check'
import { describe, expect, onTestFinished, test } from 'vitest'
import { type OpenApi, openApiOf } from '../../src/http/api/openapi.js'
import type { Parameter } from '../../src/http/api/parameters.js'
import { routes } from '../../src/http/api/routes/index.js'
import type { ServedRegistry } from '../../src/http/index.js'
import { describedBy, operationOf } from './described.js'
// The docs show the code of these tests, with the public name.
import { describedHandler as createJobsHandler } from './described-handler.js'
import { pageOf } from './openapi-page.js'
import { base, defineHeld, newRegistry } from './support.js'

const document = openApiOf(routes, base)
const operations = Object.values(document.paths).flatMap((path) => Object.values(path))

describe('the description', () => {
  test('is an OpenAPI 3.1 document', async () => {
    const { valid, errors } = await new Validator().validate(JSON.parse(JSON.stringify(document)))
    expect(errors).toBeUndefined()
    expect(valid).toBe(true)
  })

  test.each([
    [undefined, base],
    ['/api/jobs', '/api/jobs'],
    ['/', '/'],
  ])('is served under the base path %s', async (basePath, url) => {
    const handler = createJobsHandler(newRegistry(), basePath === undefined ? {} : { basePath })
    const prefix = url === '/' ? '' : url
    const response = await handler(new Request(`http://localhost${prefix}/_openapi`))
    expect([response.status, response.headers.get('content-type')]).toEqual([200, 'application/json; charset=utf-8'])
    const served = (await response.json()) as OpenApi
    expect(served).toEqual(JSON.parse(JSON.stringify({ ...document, servers: [{ url }] })))
  })

  test('comes from a handler without a server', async () => {
    const registry = newRegistry()
    const file = join(await mkdtemp(join(tmpdir(), 'headgate-')), 'openapi.json')
    onTestFinished(() => rm(dirname(file), { recursive: true }))
    // #region write
    const handler = createJobsHandler(registry)

    const response = await handler(new Request('http://localhost/_siren/connector/jobs/_openapi?pretty'))
    await writeFile(file, await response.text())
    // #endregion
    expect(JSON.parse(await readFile(file, 'utf8')).openapi).toBe('3.1.0')
  })

  test('is what docs/reference/openapi.md shows', async () => {
    const source = await readFile(new URL(import.meta.url), 'utf8')
    const [, code = ''] = /#region write\n([\s\S]*?) *\/\/ #endregion/.exec(source) ?? []
    await expect(pageOf(document, code.replaceAll(/^ {4}/gm, ''))).toMatchFileSnapshot(
      '../../docs/reference/openapi.md',
    )
  })

  test('has every call, under a name of its own, and no other', () => {
    const described = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    )
    expect(described.sort()).toEqual(routes.map(({ method, path }) => `${method} ${path}`).sort())
    expect(new Set(operations.map(({ operationId }) => operationId)).size).toBe(routes.length)
  })

  test('uses every schema that it has', () => {
    const text = JSON.stringify(document)
    const unused = Object.keys(document.components.schemas).filter((name) => !text.includes(`/schemas/${name}"`))
    expect(unused).toEqual([])
  })
})

describe('the schema of a parameter', () => {
  const parameters: [string, Parameter][] = routes.flatMap(({ name, parameters }) =>
    Object.values(parameters).map((parameter): [string, Parameter] => [`${name}: ${parameter.name}`, parameter]),
  )
  const ajv = new Ajv2020({ coerceTypes: true })
  const validators = new Map<object, ValidateFunction>()

  function validatorOf(schema: object): ValidateFunction {
    const validator = validators.get(schema) ?? ajv.compile({ type: 'object', properties: { value: schema } })
    validators.set(schema, validator)
    return validator
  }

  /** Whether the schema takes what a query says. */
  function schemaTakes({ schema }: Parameter, text: string): boolean {
    return validatorOf(schema)({ value: text }) as boolean
  }

  test.each(parameters)('%s takes what the call takes', (_, parameter) => {
    const word = fc.constantFrom(
      '0',
      '5',
      '1000',
      'true',
      'false',
      'running',
      'successful',
      '30s',
      '0ms',
      '2d',
      '_x',
      '',
    )
    const entry = fc.tuple(fc.string({ unit: 'grapheme', minLength: 1 }), fc.uuid()).map((parts) => parts.join(''))
    const text = fc.oneof(word, entry, fc.nat().map(String), fc.string({ unit: 'grapheme' }), fc.string())
    fc.assert(
      fc.property(text, (text) => {
        const value = parameter.parse(text)
        const isTaken = value !== undefined && parameter.rule.accepts(value)
        if (isTaken) expect(schemaTakes(parameter, text), text).toBe(true)
      }),
      { numRuns: 2000 },
    )
  })

  test.each([
    ['search: size', '1001'],
    ['search: size', '-1'],
    ['search: size', 'x'],
    ['search: from', '9007199254740993'],
    ['search: state', 'done'],
    ['search: type', '_x'],
    ['search: type', ''],
    ['search: id', '\0'],
    ['search: search_after', '019a0000-0000-7000-8000-000000000000'],
    ['status: include_queued', 'yes'],
    ['abort: timeout', '5'],
    ['abort: timeout', '1.5s'],
  ])('%s refuses %j as the call does', (name, text) => {
    const [, parameter] = parameters.find(([known]) => known === name) ?? []
    expect(schemaTakes(parameter as Parameter, text)).toBe(false)
  })
})

describe('the description of an answer', () => {
  const complaintsOf = describedBy(document)
  const answered = (method: string, path: string, status: number, body: object) =>
    complaintsOf({ method, url: base + path, status, contentType: 'application/json', body: JSON.stringify(body) })
  const error = { error: { type: 'forbidden', reason: 'No.' }, status: 403 }

  test('fits', () => {
    expect(answered('GET', '/copy/a', 200, { _id: 'a', type: 'copy', found: true })).toEqual([])
    expect(answered('GET', '/copy/a', 403, error)).toEqual([])
    expect(answered('GET', '/_other', 404, { ...error, status: 404 })).toEqual([])
  })

  test.each<[string, string, number, object]>([
    ['GET', '/copy/a', 201, { _id: 'a', type: 'copy', found: true }],
    ['GET', '/copy/a', 200, { _id: 'a', type: 'copy', found: false }],
    ['GET', '/copy/a', 200, { _id: 'a', type: 'copy', found: true, more: 1 }],
    ['GET', '/copy/a', 200, { _id: 'a', found: true }],
    ['GET', '/copy/a', 403, { ...error, status: 402 }],
    ['GET', '/_other', 200, {}],
    ['POST', '/copy/a/_start', 201, { _id: 'a', type: 'copy', found: true, status: { id: 'a' } }],
  ])('does not fit %s %s %i %j', (...exchange) => {
    expect(answered(...exchange)).toHaveLength(1)
  })
})

test('every answer that belongs to one call is given to some request', async () => {
  const registry = newRegistry({ concurrency: 1 })
  const handler = createJobsHandler(registry)
  const seen = new Set<string>()
  const send = async (call: string, to = handler, sent?: string) => {
    const [method = '', path = ''] = call.split(' ')
    const asked = { method, url: base + path, headers: new Headers(), native: undefined, body: async () => sent }
    const { status } = await to.answer(asked)
    seen.add(`${operationOf(document, method, base + path)?.operationId} ${status}`)
  }
  const job = defineHeld(registry, 'copy', 'a', { isDeaf: true })
  const calls = [
    ...[
      'GET /_search',
      'GET /_events',
      'GET /_health',
      'GET /_openapi',
      'GET /copy',
      'GET /other',
      'GET /copy/a',
      'GET /copy/b',
    ],
    ...['POST /copy/a/_start', 'POST /copy/a/_start', 'POST /copy/b/_start', 'POST /copy/b/_abort'],
    'POST /copy/a/_abort?timeout=0&execution_id=a019a0000-0000-7000-8000-000000000000',
    'POST /copy/a/_abort?timeout=0',
  ]
  for (const call of calls) await send(call)
  for (const sent of ['x', 'x'.repeat(100_000)]) await send('POST /copy/a/_start', handler, sent)
  const managing = [
    'GET /',
    ...['POST /copy/a/_reset', 'POST /copy/c/_reset', 'POST /copy/nobody/_reset'],
    ...['POST /copy/a/_pause', 'POST /copy/b/_pause', 'POST /copy/a/_unpause'],
    ...['POST /copy/b/_unpause', 'POST /_pause', 'POST /_unpause'],
  ]
  const names = ['has', 'start', 'status', 'running', 'abort', 'search', 'health', 'on'] as const
  const methods = Object.fromEntries(names.map((name) => [name, registry[name].bind(registry)]))
  const unable = createJobsHandler(methods as unknown as ServedRegistry)
  for (const call of managing) {
    await send(call)
    await send(call, unable)
  }
  job.end()
  await send('POST /copy/a/_abort')
  await send('POST /copy/a/_reset')
  await registry.close()
  await send('GET /_health')

  const described = routes.flatMap(({ name, answers }) => Object.keys(answers).map((status) => `${name} ${status}`))
  expect(described.filter((answer) => !seen.has(answer))).toEqual([])
})
