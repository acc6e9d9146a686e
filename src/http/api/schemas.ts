import { jobStates } from '../../index.js'
import {
  type WireDefinedJob,
  type WireDetail,
  type WireError,
  type WireFailure,
  type WireHealth,
  type WireHit,
  type WireJob,
  type WirePause,
  type WirePaused,
  type WireStatus,
  type WireUnpaused,
  wireErrors,
} from '../../wire/index.js'

/** A JSON Schema of draft 2020-12, as OpenAPI 3.1 uses it. */
export interface Schema {
  readonly [keyword: string]: unknown
}

/** The schemas of single values, for parameters and fields. */
export const schemas = {
  type: { type: 'string', minLength: 1, maxLength: 512, pattern: '^[^_\\u0000][^\\u0000]*$' },
  id: { type: 'string', minLength: 1, maxLength: 512, pattern: '^[^\\u0000]+$' },
  state: { type: 'string', enum: jobStates },
  executionId: {
    type: 'string',
    pattern: '[\\s\\S][\\da-fA-F]{8}(-[\\da-fA-F]{4}){3}-[\\da-fA-F]{12}$',
  },
  duration: { type: 'string', pattern: '^(0|\\d+(ms|s|m|h|d))$' },
} satisfies Record<string, Schema>

/** The fields of a body. TypeScript checks that all are there. */
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
  is_aborting: { const: true, description: 'An abort was requested.' },
  start_time: time,
  end_time: time,
  infos: { ...text, description: 'One sentence about the state, for people.' },
  error: { type: 'array', items: text, description: 'In state `error`: messages, outermost cause first.' },
  state: schemas.state,
  count: { ...count, description: 'Records processed so far.' },
  last_id: { ...text, description: 'The last known value of the primary key column.' },
  detail: ref('Detail'),
}

const failure: Fields<WireFailure> = {
  code: { ...text, description: 'The kind of error. Absent when headgate did not make the error.' },
  is_transient: { ...flag, description: 'Whether another run may succeed without a change.' },
  attempts: { ...count, description: 'How many times the execution tried.' },
  place: { ...text, description: 'At which record an ingestion failed.' },
  stack: { ...text, description: 'The stack of the innermost error of the application.' },
  retries: { type: 'array', items: object({ time, error: text }), description: 'The attempts before the last one.' },
}

const detail: Fields<WireDetail> = {
  execution_id: { ...schemas.executionId, description: 'The id of the execution in the log.' },
  node: { ...text, description: 'The name of the registry that runs or ran it.' },
  lease: {
    ...object({ until: time }),
    description: 'The lease of a live execution: until when it holds, by the clock of the storage.',
  },
  resumed_from: { ...text, description: 'The id of the orphan that it resumes.' },
  abort_reason: { ...text, description: 'Why it was asked to abort.' },
  params: { type: 'object', description: 'The parameters of the start, secrets redacted.' },
  log: { type: 'array', items: text, description: 'The last lines that the job logged, newest last.' },
  failure: {
    ...object(failure, ['code', 'place', 'stack', 'retries']),
    description: 'What is known of a failure beside its messages, secrets redacted.',
  },
  progress: { type: 'object', description: 'What the job reports, secrets redacted.' },
  checkpoint: { description: 'Where the next run begins, in the form that a reset takes. Secrets redacted.' },
}

const job: Fields<WireJob> = { _id: id, type, found: { const: true }, status: ref('Status') }

const pause: Fields<WirePause> = {
  since: time,
  of_all: { ...flag, description: 'Whether all jobs are paused, and not this one by itself.' },
  reason: { ...text, description: 'The reason, for people.' },
  by: { ...text, description: 'Who paused.' },
}

const definedJob: Fields<WireDefinedJob> = {
  ...job,
  datasource: { ...text, description: 'The name of its datasource.' },
  target: { ...text, description: 'The kind of its target.' },
  full_refresh: {
    type: 'string',
    enum: ['replace', 'merge', 'truncate'],
    description: 'What a full refresh does to the target. Absent where it is refused.',
  },
  schedule: {
    anyOf: [object({ cron: text, time_zone: text }), object({ every: { ...duration, type: 'integer' } })],
    description: 'Its schedule.',
  },
  next_run: { ...time, description: 'When the schedule starts it next. Absent while it is paused.' },
  paused: ref('Pause'),
}

const paused: Fields<WirePaused> = { _id: id, type, paused: ref('Pause') }

const unpaused: Fields<WireUnpaused> = {
  _id: id,
  type,
  was_paused: { ...flag, description: 'Whether it was paused.' },
}

const unknownJob: Fields<Omit<WireJob, 'status'>> = { _id: id, type, found: { const: false } }

const hit: Fields<WireHit> = {
  _id: { ...schemas.executionId, description: 'The id of the execution: the id of the job, followed by a UUID.' },
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
    type: { enum: Object.keys(wireErrors), description: 'The kind of error, for programs.' },
    reason: { ...text, description: 'The reason, for people.' },
  } satisfies Fields<WireError['error']>),
  status: { enum: [...new Set(Object.values(wireErrors))], description: 'The HTTP status.' },
}

const storage: Fields<WireHealth['storage']> = {
  reachable: { ...flag, description: 'Whether the storage answered in time.' },
  latency_ms: { ...duration, description: 'How long the storage took to answer, in milliseconds.' },
  error: { ...text, description: 'Why the storage did not answer or is read-only, without details.' },
}

const health: Fields<WireHealth> = {
  status: { enum: ['ok', 'unreachable', 'readonly', 'closed'] },
  node: { ...text, description: 'The name of the registry instance that answers.' },
  storage: object(storage, ['error']),
  running: { ...count, description: 'Executions that run in this registry.' },
  queued: { ...count, description: 'Executions that wait for a free slot of this registry.' },
  lease_ms: { ...duration, description: 'The duration of a lease, in milliseconds.' },
  oldest_renewal_ms: { ...duration, description: 'The age of the oldest lease renewal, in milliseconds.' },
  overdue: {
    type: 'array',
    items: object({ _id: id, type, since: time }),
    description: 'The schedules whose job should have started here more than a minute ago, and since when.',
  },
  queue_problem: {
    ...text,
    description:
      'Why the queue hands out no executions: it could not be opened, does not answer, or is paused in BullMQ.',
  },
}

/** The schemas of bodies. */
export const bodies = {
  Status: object(status, ['is_aborting', 'end_time', 'error', 'last_id', 'detail']),
  Detail: object(detail, [
    'node',
    'lease',
    'resumed_from',
    'abort_reason',
    'params',
    'log',
    'failure',
    'progress',
    'checkpoint',
  ]),
  Job: object(job, ['status']),
  UnknownJob: object(unknownJob),
  Jobs: hits(ref('Job')),
  Pause: object(pause, ['reason', 'by']),
  DefinedJob: object(definedJob, ['status', 'datasource', 'target', 'full_refresh', 'schedule', 'next_run', 'paused']),
  DefinedJobs: hits(ref('DefinedJob')),
  Paused: object(paused, ['_id', 'type']),
  Unpaused: object(unpaused, ['_id', 'type']),
  LogEntry: object(hit),
  Log: hits(ref('LogEntry')),
  StartRequest: object({ params: { type: 'object', description: 'The parameters of the execution.' } }, ['params']),
  Error: object(error),
  Health: object(health, ['oldest_renewal_ms', 'overdue', 'queue_problem']),
  OpenApi: { type: 'object', required: ['openapi', 'info', 'paths'] },
}

/** The name of a body. */
export type BodyName = keyof typeof bodies

/** A reference to the schema of a body. */
export function ref(name: string): Schema {
  return { $ref: `#/components/schemas/${name}` }
}

/** An object schema. All fields except the optional ones are required. */
function object(fields: Record<string, Schema>, optional: readonly string[] = []): Schema {
  const required = Object.keys(fields).filter((name) => !optional.includes(name))
  return { type: 'object', properties: fields, required }
}

function hits(entry: Schema): Schema {
  const list = { type: 'array', items: entry }
  return object({ hits: object({ total: { ...count, description: 'The total number of matches.' }, hits: list }) })
}
