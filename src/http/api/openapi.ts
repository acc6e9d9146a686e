import { type WireErrorType, wireErrors } from '../../wire/index.js'
import { type Parameter, pretty } from './parameters.js'
import type { AnswerDescription, Route } from './route.js'
import { bodies, ref, type Schema, schemas } from './schemas.js'

/** The parts of an OpenAPI document that headgate writes. */
export interface OpenApi {
  openapi: string
  info: { title: string; version: string; description: string }
  servers: { url: string }[]
  /** The operations, by path and method. */
  paths: Record<string, Record<string, OpenApiOperation>>
  components: { schemas: Record<string, Schema> }
}

/** An operation of an OpenAPI document. */
export interface OpenApiOperation {
  operationId: string
  summary: string
  parameters: OpenApiParameter[]
  requestBody?: { required: false; content: { 'application/json': { schema: Schema } } }
  /** By status. */
  responses: Record<string, { description: string; content: Record<string, { schema: Schema }> }>
}

/** A parameter of an OpenAPI document. */
export interface OpenApiParameter {
  name: string
  in: 'path' | 'query'
  required?: true
  allowEmptyValue?: true
  description: string
  schema: Schema
}

/** The errors that every route may answer with. */
const commonErrors: Partial<Record<WireErrorType, string>> = {
  invalid_request: 'A parameter, the type or the id is invalid. The reason names it.',
  unauthorized: 'The call needs credentials.',
  forbidden: 'The call is not allowed.',
  internal: 'The server failed.',
  storage: 'The storage or the dispatcher could not be reached, or the registry is closed.',
  uri_too_long: 'The URL is longer than 16,384 characters.',
}

/** The OpenAPI 3.1 document of routes under a base path. */
export function openApiOf(routes: readonly Route[], base: string): OpenApi {
  const paths: OpenApi['paths'] = {}
  for (const route of routes)
    paths[route.path] = { ...paths[route.path], [route.method.toLowerCase()]: operationOf(route) }
  return {
    openapi: '3.1.0',
    info: {
      title: 'headgate jobs API',
      version: '1',
      description:
        'Starts, shows and aborts jobs. Every `GET` route also answers `HEAD`. Only `start` reads a request body.',
    },
    servers: [{ url: base || '/' }],
    paths,
    components: { schemas: bodies },
  }
}

function operationOf({ name, path, summary, parameters, requestBody, answers }: Route): OpenApiOperation {
  const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => pathParameter(name))
  return {
    operationId: name,
    summary,
    parameters: [...inPath, ...[...Object.values(parameters), pretty].map(queryParameter)],
    ...(requestBody && {
      requestBody: { required: false, content: { 'application/json': { schema: ref(requestBody) } } },
    }),
    responses: responsesOf(answers),
  }
}

function pathParameter(name: string): OpenApiParameter {
  const schema = name === 'type' ? schemas.type : schemas.id
  return { name, in: 'path', required: true, description: `The ${name} of the job.`, schema }
}

function queryParameter({ name, description, rule, schema }: Parameter): OpenApiParameter {
  const allowsEmpty = name === pretty.name && { allowEmptyValue: true as const }
  return { name, in: 'query', ...allowsEmpty, description: `${description} Must be ${rule.expected}.`, schema }
}

function responsesOf(answers: Route['answers']): OpenApiOperation['responses'] {
  const errors = Object.entries(commonErrors).map(([type, description]) => {
    return [wireErrors[type as WireErrorType], { description, body: 'Error' }] as const
  })
  const all: Route['answers'] = { ...Object.fromEntries(errors), ...answers }
  return Object.fromEntries(Object.entries(all).map(([status, answer]) => [status, responseOf(answer)]))
}

function responseOf({ description, body, mediaType = 'application/json' }: AnswerDescription) {
  return { description, content: { [mediaType]: { schema: body ? ref(body) : { type: 'string' } } } }
}
