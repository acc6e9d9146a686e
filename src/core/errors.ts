import { commonRedactor, type Redactor } from './redact.js'

/** Every code of a {@link JobError}, and what it says. */
export const jobErrorCodes = {
  invalid_options:
    'An option or argument is not what it should be; the message names it, what was expected and what came.',
  not_defined: 'No job of that type and id is defined in this registry.',
  already_running: 'The job has a live execution, here or in another process.',
  closed: 'The registry is closed.',
  aborted: 'The execution was asked to stop. The reason of every aborted `signal`.',
  lease_lost: 'The execution no longer holds its lease: another instance may run the job.',
  datasource: 'The datasource could not be reached or could not answer the query.',
  transform: 'The transform of the job threw, or gave something that is no record.',
  target: 'The target could not take, keep or commit the records.',
  too_many_failures: 'More records failed than `failures` of the job allows.',
  checkpoint: 'The checkpoint was damaged where it is kept, or is not one that the job can resume from.',
  part: 'A part of the job failed.',
  storage: 'The storage could not be reached or could not keep its promise.',
  server: 'The server of a client could not be reached, or could not answer.',
  unauthorized: 'The server of a client wants to know who calls.',
  forbidden: 'The server of a client does not allow the call.',
} as const

/** The code of a {@link JobError}: stable, for programs. The message is for people. */
export type JobErrorCode = keyof typeof jobErrorCodes

const brand = Symbol.for('headgate.JobError')

/** What a {@link JobError} is made with. */
export interface JobErrorOptions extends ErrorOptions {
  /** Whether it passes, so that the same may work a moment later. Default: what its causes say. */
  isTransient?: boolean
  /** Of a target that refuses a batch for one record: the place of that record in the batch, from 0. Default: not known. */
  recordIndex?: number
}

/** The one error class of headgate. What went wrong underneath is its `cause`, never rewritten. */
export class JobError extends Error {
  /** What went wrong, for programs. */
  readonly code: JobErrorCode
  /** Whether it passes, so that the same may work a moment later; `undefined` when only its causes know. */
  readonly isTransient: boolean | undefined
  /** The place in its batch of the record that a target refuses, from 0; `undefined` when it is not known. */
  readonly recordIndex: number | undefined
  /** Marks the class across copies of the package. */
  readonly [brand] = true

  constructor(code: JobErrorCode, message: string, { isTransient, recordIndex, ...options }: JobErrorOptions = {}) {
    super(message, options)
    this.name = 'JobError'
    this.code = code
    this.isTransient = isTransient
    this.recordIndex = recordIndex
  }

  /** Whether `value` is a `JobError`, also one that another copy of headgate made. */
  static isInstance(value: unknown): value is JobError {
    return typeof value === 'object' && value !== null && read(value, brand) === true
  }
}

/** The error of an execution that may run elsewhere by now. */
export function leaseLost(): JobError {
  return new JobError('lease_lost', 'The execution has lost its lease.')
}

/** The error of a start while the job has a live execution. */
export function alreadyRunning({ type, id }: { type: string; id: string }): JobError {
  return new JobError('already_running', `Job [${type}/${id}] is already running.`)
}

/** Whether an error says that a job has a live execution. */
export function isAlreadyRunning(error: unknown): boolean {
  return JobError.isInstance(error) && error.code === 'already_running'
}

/** The most messages that {@link errorMessages} gives. */
const maxMessages = 20

/** The longest message that {@link errorMessages} gives, in characters. */
const maxMessageLength = 2000

/** The longest details beside a message, in characters: they may hold a whole row. */
const maxDetailsLength = 500

/**
 * The messages of an error and its causes, outermost first, as a status shows them: an `AggregateError`'s inner errors
 * follow it, cycles end the walk, repeats in a row are dropped, secrets are redacted, and at most 20 messages of at most
 * 2,000 characters are given. What Postgres says beside a message stands behind it, in at most 500 characters: the detail, where it
 * happened, and the table, column and constraint. `redactor` hides secrets of your own too, as `registry.redactor` does. Never throws.
 */
export function errorMessages(error: unknown, redactor: Pick<Redactor, 'shorten'> = commonRedactor): string[] {
  const messages: string[] = []
  for (const link of chain(error)) {
    const message = redactor.shorten(messageOf(link), maxMessageLength)
    const details = redactor.shorten(detailsOf(link), maxDetailsLength)
    const text = details === '' ? message : `${message}. ${details}`
    if (text !== '' && text !== messages.at(-1)) messages.push(text)
    if (messages.length === maxMessages) break
  }
  return messages.length > 0 ? messages : ['Unknown error.']
}

/** Whether `error` is `cause`, has it among its causes, or is what a web API throws when its signal aborts. */
export function isCausedBy(error: unknown, cause: unknown): boolean {
  for (const link of chain(error)) {
    if (link === cause || read(link, 'name') === 'AbortError') return true
  }
  return false
}

/** The most errors of a chain that are looked at, and of those the most that one `AggregateError` holds. */
const maxLinks = 1000
const maxInner = 100

/**
 * An error and its causes, outermost first; the inner errors of an `AggregateError` follow it. Cycles end it, as do 1,000
 * errors; of an `AggregateError`, it has the first 100 and the cause.
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

/** What an error of Postgres says beside its message, or nothing. */
function detailsOf(link: unknown): string {
  const textOf = (name: string) => {
    const value = read(link, name)
    return typeof value === 'string' ? value : ''
  }
  if (textOf('severity') === '') return ''
  const [table, column, constraint] = [textOf('table'), textOf('column'), textOf('constraint')]
  const place = [textOf('schema'), table, column].filter((name) => name !== '').join('.')
  const parts = [
    textOf('detail'),
    textOf('where') && `At ${textOf('where').replaceAll('\n', '; ')}.`,
    place && `In \`${place}\`${constraint && `, constraint \`${constraint}\``}.`,
  ]
  return parts.filter((part) => part !== '').join(' ')
}

/** A property of whatever was thrown: reading it may itself throw. */
export function read(thrown: unknown, name: string | symbol): unknown {
  try {
    return Object(thrown)[name]
  } catch {
    return undefined
  }
}
