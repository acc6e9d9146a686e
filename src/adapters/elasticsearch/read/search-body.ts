import { invalid, JobError, type Query, rule } from '../../../adapter.js'

/** What a query says of a search. */
export interface SearchBody {
  readonly query?: object
  readonly _source?: unknown
  readonly runtime_mappings?: object
}

/** The name of an object that stands for a value in the text of a query. */
const valueName = '$headgate'

/** The placeholder of the n-th value: JSON, so that the text of a query is JSON with it. */
export function placeholder(n: number): string {
  return `{"${valueName}":${n}}`
}

/** What a text of a query may have, and why it may have nothing else. */
const allowed = new Set(['query', '_source', 'runtime_mappings'])
const reasons: Readonly<Record<string, string>> = {
  sort: 'use `cursor` of the job for an order',
  size: 'use `batchSize` or `maxRecords` of the job',
  from: 'the job reads all documents',
  search_after: 'the checkpoint of the job says where a read begins',
  pit: 'headgate opens a point in time of its own',
}

/** The search of a query: all documents for an empty text. Throws `invalid_options` for anything but JSON with these parts. */
export function searchBodyOf({ text, values }: Query): SearchBody {
  if (text.trim() === '') return {}
  const body = withValues(parsed(text), values)
  const expected = 'a JSON object with `query`, `_source` or `runtime_mappings`, as the body of a search has them'
  if (!rule.anObject.accepts(body) || Array.isArray(body)) throw invalid('query', expected, text)
  for (const name of Object.keys(body as object)) {
    if (allowed.has(name)) continue
    const reason = Object.hasOwn(reasons, name) ? `: ${reasons[name]}` : ''
    throw new JobError('invalid_options', `Expected \`query\` to be ${expected}, got \`${name}\`${reason}`)
  }
  const { query: clause } = body as SearchBody
  if (clause !== undefined && !rule.anObject.accepts(clause)) throw invalid('query.query', 'an object', clause)
  return body as SearchBody
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new JobError('invalid_options', 'Expected `query` to be JSON, as the body of a search is.', { cause })
  }
}

/** The same with values in place of placeholders. Values never become a part of the text. */
function withValues(part: unknown, values: readonly unknown[]): unknown {
  if (Array.isArray(part)) return part.map((item) => withValues(item, values))
  if (typeof part !== 'object' || part === null) return part
  const entries = Object.entries(part)
  const [name, n] = entries[0] ?? []
  const isValue = entries.length === 1 && name === valueName && Number.isInteger(n) && (n as number) <= values.length
  if (isValue) return values[(n as number) - 1] ?? null
  return Object.fromEntries(entries.map(([key, value]) => [key, withValues(value, values)]))
}
