import { invalid, JobError, type Query } from '../../../adapter.js'

/** The name of the prepared statement, and the beginning of the names of its variables. */
const name = 'headgate'

/** The statements that run a query with values. */
export interface Statements {
  /** Run before, one after the other. */
  readonly before: readonly string[]
  /** Gives the rows. */
  readonly run: string
  /** Run after. */
  readonly after: readonly string[]
}

/**
 * The statements that run a query. Values are no part of its text: the server binds variables of the session to its placeholders. They are
 * set to numbers, or to texts and bytes as hexadecimal digits, which mean the same in every mode and character set of the session.
 */
export function statementsOf({ text, values }: Query): Statements {
  if (values.length === 0) return { before: [], run: text, after: [] }
  const variables = values.map((_, index) => `@${name}_${index + 1}`)
  const all = [`@${name}_text`, ...variables]
  const literals = [text, ...values].map((value, index) => literalOf(value, index))
  return {
    before: [
      `set ${all.map((variable, index) => `${variable} = ${literals[index]}`).join(', ')}`,
      `prepare ${name} from @${name}_text`,
    ],
    run: `execute ${name} using ${variables.join(', ')}`,
    after: [`deallocate prepare ${name}`, `set ${all.map((variable) => `${variable} = null`).join(', ')}`],
  }
}

/** The literal of a value. It consists of digits and of words that are known here. */
function literalOf(value: unknown, index: number): string {
  switch (typeof value) {
    case 'number':
      return numberOf(value, index)
    case 'bigint':
      return String(value)
    case 'boolean':
      return String(value)
    case 'string':
      return `_utf8mb4 x'${Buffer.from(value).toString('hex')}'`
    default:
      return literalOfObject(value, index)
  }
}

function numberOf(value: number, index: number): string {
  if (Number.isFinite(value)) return String(value)
  throw invalid(`value ${index} of the query`, 'a finite number', value)
}

function literalOfObject(value: unknown, index: number): string {
  if (value === null || value === undefined) return 'null'
  if (value instanceof Uint8Array) return `x'${Buffer.from(value).toString('hex')}'`
  if (value instanceof Date && !Number.isNaN(value.getTime())) return literalOf(timeOf(value), index)
  if (typeof value === 'object' && Object.getPrototypeOf(value) === Object.prototype) {
    return literalOf(JSON.stringify(value), index)
  }
  throw new JobError(
    'invalid_options',
    `Expected value ${index} of the query to be a text, a number, a boolean, a date, bytes or null, got a value of type ${typeof value}`,
  )
}

/** In UTC, as the session is: `2024-01-01 10:00:00.500`. */
function timeOf(date: Date): string {
  return date.toISOString().replace('T', ' ').replace('Z', '')
}
