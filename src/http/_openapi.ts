import type { WireHealth } from './_health.js'
import { type Schema, schemas } from './_schemas.js'
import {
  type Parameter,
  type Parameters,
  pretty,
  type WireError,
  type WireErrorType,
  type WireHit,
  type WireJob,
  type WireStatus,
  wireErrors,
} from './wire.js'

/** What is told of an answer. */
export interface DescribedAnswer {
  description: string
  /** What the body is. Default: text. */
  schema?: SchemaName
  /** Default `application/json`. */
  mediaType?: string
}

/** What is told of a call. */
export interface DescribedCall {
  /** The name of the operation. */
  name: string
  method: 'GET' | 'POST'
  /** Under the base path; `{type}` and `{id}` stand for one part each. */
  path: string
  /** One sentence. */
  summary: string
  parameters: Parameters
  /** By status: what only this call answers. */
  answers: Readonly<Record<number, DescribedAnswer>>
}

/** The fields of a body, of which TypeScript says that all are there. */
type Fields<Body> = Record<keyof Body, Schema>

const text: Schema = { type: 'string' }
const count: Schema = { type: 'integer', minimum: 0 }
const time: Schema = { type: 'integer', minimum: 0, description: 'Epoch milliseconds.' }
const duration: Schema = { type: 'number', minimum: 0, description: 'Milliseconds.' }
const flag: Schema = { type: 'boolean' }

const type: Schema = { ...schemas.type, description: 'The type of the job.' }
const id: Schema = { ...schemas.id, description: 'The id of the job.' }

const status: Fields<WireStatus> = {
  version: { const: 1 },
  id,
  is_running: { ...flag, description: 'Whether the execution runs, also while it aborts.' },
  is_aborting: { const: true, description: 'An abort was asked for.' },
  start_time: time,
  end_time: time,
  infos: { ...text, description: 'One sentence for a person.' },
  error: { type: 'array', items: text, description: 'In state `error`: messages, outermost cause first.' },
  state: schemas.state,
  count: { ...count, description: 'Records processed so far.' },
  last_id: { ...text, description: 'The last known value of the primary key column.' },
}

const job: Fields<WireJob> = { _id: id, type, found: { const: true }, status: ref('Status') }

const unknownJob: Fields<Omit<WireJob, 'status'>> = { _id: id, type, found: { const: false } }

const hit: Fields<WireHit> = {
  _id: { ...schemas.executionId, description: 'The id of the execution: that of the job, followed by a UUID.' },
  _source: {
    type: 'object',
    additionalProperties: ref('Status'),
    minProperties: 1,
    maxProperties: 1,
    description: 'The status, under the type of the job.',
  },
}

const error: Fields<WireError> = {
  error: object({
    type: { enum: Object.keys(wireErrors), description: 'What went wrong, for programs.' },
    reason: { ...text, description: 'What went wrong, for people.' },
  } satisfies Fields<WireError['error']>),
  status: { enum: [...new Set(Object.values(wireErrors))], description: 'The HTTP status.' },
}

const storage: Fields<WireHealth['storage']> = {
  reachable: { ...flag, description: 'Whether the storage answered in time.' },
  latency_ms: duration,
  error: { ...text, description: 'Why it did not answer, or keeps nothing, without details.' },
}

const health: Fields<WireHealth> = {
  status: { enum: ['ok', 'unreachable', 'readonly', 'closed'] },
  node: { ...text, description: 'The name of the registry instance that answers.' },
  storage: object(storage, ['error']),
  running: { ...count, description: 'Executions that run in this registry.' },
  queued: { ...count, description: 'Executions that wait for a free slot of this registry.' },
  lease_ms: { ...duration, description: 'How long a lease holds, in milliseconds.' },
  oldest_renewal_ms: {
    ...duration,
    description: 'How long ago the lease was renewed that was not renewed for longest, in milliseconds.',
  },
}

/** The schemas of bodies. */
const bodies = {
  Status: object(status, ['is_aborting', 'end_time', 'error', 'last_id']),
  Job: object(job, ['status']),
  UnknownJob: object(unknownJob),
  Jobs: hits(ref('Job')),
  LogEntry: object(hit),
  Log: hits(ref('LogEntry')),
  Error: object(error),
  Health: object(health, ['oldest_renewal_ms']),
  OpenApi: { type: 'object', required: ['openapi', 'info', 'paths'] },
}

/** The name of the schema of a body. */
export type SchemaName = keyof typeof bodies

/** What any call may answer. */
const commonErrors: Partial<Record<WireErrorType, string>> = {
  invalid_request: 'A parameter, the type or the id is not what it should be: the reason names it.',
  unauthorized: 'The server wants to know who calls.',
  forbidden: 'The server does not allow the call.',
  internal: 'Something else went wrong.',
  storage: 'The storage could not be reached, or the registry is closed.',
  uri_too_long: 'The address is longer than 16,384 characters.',
}

/** What the parameters mean, by name. */
const meanings: Record<string, string> = {
  pretty: 'Whether the answer is indented.',
  include_queued: 'Whether an execution that waits for a free slot is shown. Default: `false`.',
  timeout: 'How long to wait. Default: `30s` for a job to stop, `1s` for the health of a storage.',
  wait_for_completion: 'Whether to wait at all. Default: `true`.',
  type: 'Keeps executions of that job type.',
  id: 'Keeps executions of that job id.',
  state: 'Keeps executions in that state. Default: those that have ended.',
  start_time_from: 'Keeps executions that started then or later, in epoch milliseconds.',
  start_time_to: 'Keeps executions that started then or earlier, in epoch milliseconds.',
  from: 'How many of the newest to pass over. Default: `0`.',
  size: 'The most entries to answer with. Default: `10`.',
  search_after: 'Goes on after the entry of that `_id`, however deep; the entry need not exist any more.',
}

/** An OpenAPI document, as far as it is made here. */
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

/** The description of calls under a base path: an OpenAPI 3.1 document. */
export function openApiOf(calls: readonly DescribedCall[], base: string): OpenApi {
  const paths: OpenApi['paths'] = {}
  for (const call of calls) paths[call.path] = { ...paths[call.path], [call.method.toLowerCase()]: operation(call) }
  return {
    openapi: '3.1.0',
    info: {
      title: 'headgate jobs API',
      version: '1',
      description: 'Starts, shows and aborts jobs. `HEAD` works wherever `GET` does. Bodies of requests are not read.',
    },
    servers: [{ url: base || '/' }],
    paths,
    components: { schemas: bodies },
  }
}

function operation({ name, path, summary, parameters, answers }: DescribedCall): OpenApiOperation {
  const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => pathParameter(name))
  return {
    operationId: name,
    summary,
    parameters: [...inPath, ...[...Object.values(parameters), pretty].map(queryParameter)],
    responses: responsesOf(answers),
  }
}

function pathParameter(name: string): OpenApiParameter {
  const { description, ...schema } = name === 'type' ? type : id
  return { name, in: 'path', required: true, description: String(description), schema }
}

function queryParameter({ name, rule, schema }: Parameter): OpenApiParameter {
  const description = `${meanings[name]} Must be ${rule.expected}.`
  return { name, in: 'query', ...(name === pretty.name && { allowEmptyValue: true }), description, schema }
}

function responsesOf(answers: DescribedCall['answers']): OpenApiOperation['responses'] {
  const errors = Object.entries(commonErrors).map(([type, description]) => {
    return [wireErrors[type as WireErrorType], { description, schema: 'Error' }] as const
  })
  const all: DescribedCall['answers'] = { ...Object.fromEntries(errors), ...answers }
  const responses = Object.entries(all).map(([status, { description, schema, mediaType = 'application/json' }]) => {
    return [status, { description, content: { [mediaType]: { schema: schema ? ref(schema) : text } } }] as const
  })
  return Object.fromEntries(responses)
}

function ref(name: string): Schema {
  return { $ref: `#/components/schemas/${name}` }
}

/** An object, of which all fields are there but the optional ones. */
function object(fields: Record<string, Schema>, optional: readonly string[] = []): Schema {
  const required = Object.keys(fields).filter((name) => !optional.includes(name))
  return { type: 'object', properties: fields, required }
}

function hits(entry: Schema): Schema {
  const list = { type: 'array', items: entry }
  return object({ hits: object({ total: { ...count, description: 'How many match in all.' }, hits: list }) })
}
