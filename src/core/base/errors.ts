import { commonRedactor, type Redactor } from '../redaction/index.js'

/** Every code of a {@link JobError}, and its meaning. */
export const jobErrorCodes = {
  invalid_options: 'An option or argument is not valid. The message names it, what was expected and what was given.',
  not_defined: 'No job of that type and id is defined in this registry.',
  already_running: 'The job has a live execution, here or in another process.',
  paused: 'The job is paused. Unpause it, or start it with `force`.',
  not_supported: 'The storage does not have an optional member that the call needs. The message names both.',
  closed: 'The registry is closed.',
  timeout: 'A function of yours took too long. The message names it and its time limit.',
  aborted: 'The execution was asked to stop. The reason of every aborted `signal`.',
  max_duration: 'The execution ran longer than `maxDuration` of its job.',
  lease_lost: 'The execution no longer holds its lease. Another instance may run the job.',
  datasource: 'The datasource could not be reached or could not answer the query.',
  schema: 'A record does not match the `schema` of the job.',
  transform: 'The transform of the job threw, or returned something that is not a record.',
  target: 'The target could not be reached, or could not write, store or commit the records.',
  too_many_failures: 'More records failed than `failures` of the job allows.',
  checkpoint: 'The stored checkpoint is damaged, or is not one that the job can resume from.',
  part: 'A partition of the job failed.',
  storage: 'The storage could not be reached or could not complete the request.',
  dispatcher: 'The dispatcher could not be reached or could not complete the request.',
  server: 'The server of a client could not be reached, or could not answer.',
  unauthorized: 'The server of a client requires authentication.',
  forbidden: 'The server of a client does not allow the call.',
} as const

/** The code of a {@link JobError}: stable, for programs. The message is for people. */
export type JobErrorCode = keyof typeof jobErrorCodes

const brand = Symbol.for('headgate.JobError')

/** Options of a {@link JobError}. */
export interface JobErrorOptions extends ErrorOptions {
  /** Whether the error is transient, so that a retry may succeed. Default: determined by its causes. */
  isTransient?: boolean
  /** For a target that rejects a batch because of one record: the index of that record in the batch. Default: not known. */
  recordIndex?: number
  /** The same for several records. Default: not known. */
  recordIndexes?: readonly number[]
  /** The `idempotencyKey` of the batch of that record, which may be an earlier one. Default: the batch that is being written. */
  batchKey?: string
}

/** Which record an ingestion failed at. */
export interface RecordPlace {
  /**
   * The number of the batch since the job began from the beginning, from 0, as in the `key` of dead letters. Absent when it is not known,
   * as for a target that writes several batches together and does not name the record.
   */
  readonly batch?: number
  /** The index of the record in the batch, as it was read, from 0. Absent when it is not known. */
  readonly recordIndex?: number
  /** What failed. */
  readonly phase: 'schema' | 'transform' | 'target'
  /**
   * Where it failed, in a sentence such as `Batch 2, record 2,345 of this run (id 2345).`: the batch, the record or records as the run
   * read them, from 1, and the key of a single record. Secrets are redacted. Absent when it is not known.
   */
  readonly text?: string
}

/** The error class of headgate. The original error is its `cause`, unchanged. */
export class JobError extends Error {
  /** The kind of error, for programs. */
  readonly code: JobErrorCode
  /** Whether the error is transient. `undefined` when its causes determine that. */
  readonly isTransient: boolean | undefined
  /** The index in its batch of the record that the target rejected. `undefined` when it is not known. */
  readonly recordIndex: number | undefined
  /** The indexes in their batch of the records that the target rejected. `undefined` when they are not known. */
  readonly recordIndexes: readonly number[] | undefined
  /** The `idempotencyKey` of the batch of that record. `undefined` when it is the one that was being written. */
  readonly batchKey: string | undefined
  /** Which record an ingestion failed at: set by the job, for its log and its messages. */
  declare readonly place?: RecordPlace
  /** Identifies the class across copies of the package. */
  readonly [brand] = true

  constructor(code: JobErrorCode, message: string, given: JobErrorOptions = {}) {
    const { isTransient, recordIndex, recordIndexes, batchKey, ...options } = given
    super(message, options)
    this.name = 'JobError'
    this.code = code
    this.isTransient = isTransient
    this.recordIndex = recordIndex
    this.recordIndexes = recordIndexes
    this.batchKey = batchKey
  }

  /** Whether `value` is a `JobError`, including one from another copy of headgate. */
  static isInstance(value: unknown): value is JobError {
    return typeof value === 'object' && value !== null && read(value, brand) === true
  }
}

/** Notes at which record an ingestion failed, in an error that the job made. */
export function notePlace(error: unknown, place: Partial<RecordPlace>): void {
  if (JobError.isInstance(error) && error.place === undefined) Reflect.set(error, 'place', place)
}

/** Which record an ingestion failed at, as fields of a log entry. `undefined` when no error of the chain says so. */
export function placeOf(error: unknown): Omit<RecordPlace, 'text'> | undefined {
  for (const link of chain(error)) {
    if (!JobError.isInstance(link) || !link.place) continue
    const { text: _, ...fields } = link.place
    return fields
  }
  return undefined
}

/** The error of an execution that has lost its lease. */
export function leaseLost(): JobError {
  return new JobError('lease_lost', 'The execution has lost its lease.')
}

/** The error of a call that needs a job that is not live. */
export function alreadyRunning({ type, id, state }: { type: string; id: string; state?: string }): JobError {
  const what = state === 'queued' ? 'is already waiting in the queue' : 'is already running'
  return new JobError('already_running', `Job [${type}/${id}] ${what}.`)
}

/** The error of an abort that names an execution while another one is live. */
export function runsAnother({ type, id }: { type: string; id: string }): JobError {
  const message = `Job [${type}/${id}] runs another execution than the one to abort. Nothing was aborted.`
  return new JobError('already_running', message)
}

/** The error of a reset or an abort that names an execution which is not the last one of the job. */
export function hasRunAgain({ type, id }: { type: string; id: string }, call: 'reset' | 'abort'): JobError {
  const done = call === 'reset' ? 'reset' : 'aborted'
  const message = `The last execution of job [${type}/${id}] is another one than the ${call} names. Nothing was ${done}.`
  return new JobError('already_running', message)
}

export function isAlreadyRunning(error: unknown): boolean {
  return JobError.isInstance(error) && error.code === 'already_running'
}

/** Maximum number of messages that {@link errorMessages} returns. */
const maxMessages = 20

/** Maximum length of a message, in characters. */
const maxMessageLength = 2000

/** Maximum length of the details of a message, in characters. They may contain a whole row. */
const maxDetailsLength = 500

/**
 * The messages of an error and its causes, outermost first, as a status shows them. The inner errors of an `AggregateError`
 * follow it. The record that an ingestion failed at stands before the reason. Cycles end the list, consecutive duplicates are
 * dropped, and secrets are redacted: those of your own too when `redactor` is `registry.redactor`. Returns at most 20 messages of at most 2,000 characters. Details of a Postgres error
 * follow its message in at most 500 characters: the detail, the hint, the context, and the table, column and constraint. Never throws.
 */
export function errorMessages(error: unknown, redactor: Pick<Redactor, 'shorten'> = commonRedactor): string[] {
  const messages: string[] = []
  for (const link of chain(error)) {
    for (const text of textsOf(link, redactor)) {
      if (messages.length < maxMessages && text !== '' && text !== messages.at(-1)) messages.push(text)
    }
    if (messages.length === maxMessages) break
  }
  return messages.length > 0 ? messages : ['Unknown error.']
}

/** What a link of the chain says: what failed, then at which record, then the reason, be it of the link or of its causes. */
function textsOf(link: unknown, redactor: Pick<Redactor, 'shorten'>): string[] {
  const message = redactor.shorten(messageOf(link), maxMessageLength)
  const details = redactor.shorten(detailsOf(link), maxDetailsLength)
  const text = details === '' ? message : `${message}. ${details}`
  const place = JobError.isInstance(link) ? read(link.place, 'text') : undefined
  if (typeof place !== 'string') return [text]
  const shown = redactor.shorten(place, maxMessageLength)
  return hasMessage(read(link, 'cause')) ? [text, shown] : [shown, text]
}

/** Whether `error` is `cause`, has it among its causes, or is an `AbortError` of a web API. */
export function isCausedBy(error: unknown, cause: unknown): boolean {
  for (const link of chain(error)) {
    if (link === cause || read(link, 'name') === 'AbortError') return true
  }
  return false
}

/** Maximum number of errors of a chain that are read, and of inner errors of one `AggregateError`. */
const maxLinks = 1000
const maxInner = 100

/**
 * An error and its causes, outermost first. The inner errors of an `AggregateError` follow it. Stops at cycles and after 1,000
 * errors; reads the first 100 inner errors of an `AggregateError`.
 */
export function* chain(error: unknown): Generator<unknown> {
  const seen = new Set<unknown>()
  const left = [error]
  while (left.length > 0 && seen.size < maxLinks) {
    const link = left.pop()
    if (link === undefined || link === null || seen.has(link)) continue
    seen.add(link)
    yield link
    left.push(read(link, 'cause'), ...innerErrors(link).reverse())
  }
}

/** Whether an error, or one of its causes, says anything. A value that cannot be read does not. */
export function hasMessage(error: unknown): boolean {
  for (const link of chain(error)) if (messageOf(link) !== '') return true
  return false
}

function innerErrors(link: unknown): unknown[] {
  const errors = read(link, 'errors')
  try {
    return Array.isArray(errors) ? Array.from({ length: Math.min(errors.length, maxInner) }, (_, at) => errors[at]) : []
  } catch {
    return []
  }
}

function messageOf(link: unknown): string {
  const isPlain = typeof link !== 'object' && typeof link !== 'function'
  const candidates = isPlain ? [String(link)] : ['message', 'code', 'name'].map((name) => read(link, name))
  return (candidates.find((candidate) => typeof candidate === 'string' && candidate !== '') ?? '') as string
}

/** The details of a Postgres error besides its message, or an empty text. */
function detailsOf(link: unknown): string {
  const textOf = (name: string) => {
    const value = read(link, name)
    return typeof value === 'string' ? value : ''
  }
  if (textOf('severity') === '') return ''
  const [table, column, constraint] = [textOf('table'), textOf('column'), textOf('constraint')]
  const location = [textOf('schema'), table, column].filter((name) => name !== '').join('.')
  const parts = [
    textOf('detail'),
    textOf('hint') && `Hint: ${textOf('hint')}`,
    textOf('where') && `At ${textOf('where').replaceAll('\n', '; ')}.`,
    location && `In \`${location}\`${constraint && `, constraint \`${constraint}\``}.`,
  ]
  return parts.filter((part) => part !== '').join(' ')
}

/** Reads a property of a thrown value, whose getter may throw. */
export function read(thrown: unknown, name: string | symbol): unknown {
  try {
    return Object(thrown)[name]
  } catch {
    return undefined
  }
}
