import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import formats from 'ajv-formats'
import type { OpenApi, OpenApiOperation } from '../../src/http/api/openapi.js'

/** A request, and what it was answered with. */
export interface Exchange {
  method: string
  url: string
  status: number
  contentType: string
  body: string
}

/** What may be answered where there is no such call. */
const elsewhere = [400, 401, 403, 404, 405, 414]

const json = 'application/json'

const errorContent: OpenApiOperation['responses'][string]['content'] = {
  [json]: { schema: { $ref: '#/components/schemas/Error' } },
}

/** What can be said against an answer, by a description of the API. */
export function describedBy(document: OpenApi): (exchange: Exchange) => string[] {
  const complaintsAbout = validatorOf(document)
  return ({ method, url, status, contentType, body }) => {
    const operation = operationOf(document, method, url)
    const response = operation?.responses[status]
    if (operation ? !response : !elsewhere.includes(status)) return [`has no answer ${status}`]
    const mediaType = contentType.split(';')[0] ?? ''
    const content = (response?.content ?? errorContent)[mediaType]
    if (!content) return [`has no answer ${status} of ${mediaType}`]
    if (method === 'HEAD' || mediaType !== json) return []
    return complaintsAbout(String(content.schema.$ref), JSON.parse(body))
  }
}

/** The operation that a request asks for, found as a reader of the description finds it: paths without variables first. */
export function operationOf(document: OpenApi, method: string, url: string): OpenApiOperation | undefined {
  const [, path = ''] = /^(?:[a-z][a-z\d+.-]*:\/\/[^/?#]*)?([^?]*)/i.exec(url) ?? []
  if (path.includes('#')) return undefined
  const base = document.servers[0]?.url.replace(/\/$/, '') ?? ''
  const isList = path === base && base !== ''
  if (!isList && !path.startsWith(`${base}/`)) return undefined
  const parts = (isList ? '/' : path.slice(base.length)).split('/')
  const templates = Object.keys(document.paths).sort((a, b) => Number(a.includes('{')) - Number(b.includes('{')))
  const found = templates.find((template) => {
    const names = template.split('/')
    return names.length === parts.length && names.every((name, i) => fits(name, parts[i] ?? ''))
  })
  const key = { GET: 'get', HEAD: 'get', POST: 'post' }[method]
  return found === undefined || key === undefined ? undefined : document.paths[found]?.[key]
}

function fits(name: string, part: string): boolean {
  return name === '{id}' || (name === '{type}' ? !decoded(part).startsWith('_') : name === part)
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}

const validators = new Map<string, ReturnType<typeof makeValidator>>()

function validatorOf({ components }: OpenApi): ReturnType<typeof makeValidator> {
  const key = JSON.stringify(components)
  const validator = validators.get(key) ?? makeValidator(components)
  validators.set(key, validator)
  return validator
}

function makeValidator(components: OpenApi['components']): (ref: string, value: unknown) => string[] {
  const ajv = new Ajv2020({ allErrors: true, keywords: ['components'] })
  formats.default(ajv)
  ajv.addSchema({ $id: 'openapi', components: closed(components) })
  const compiled = new Map<string, ValidateFunction>()
  return (ref, value) => {
    const validate = compiled.get(ref) ?? ajv.compile({ $ref: `openapi${ref}` })
    compiled.set(ref, validate)
    return validate(value) ? [] : [ajv.errorsText(validate.errors)]
  }
}

/** The same schemas, allowing no field that they do not name: an answer is to say no more than what is described. */
function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed)
  if (typeof schema !== 'object' || schema === null) return schema
  const inner = Object.fromEntries(Object.entries(schema).map(([name, value]) => [name, closed(value)]))
  return inner.type === 'object' && inner.properties ? { additionalProperties: false, ...inner } : inner
}
