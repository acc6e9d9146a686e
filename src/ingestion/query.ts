import Mustache from 'mustache'
import { JobError } from '../core/errors.js'
import { checkOptions, invalid, rule } from '../core/options.js'
import { bindValues, type Piece } from './_sql.js'
import type { Query } from './datasource.js'
import type { QueryFunction, QueryVariables } from './job.js'

/** A query that is ready to be made for every run. */
export interface CompiledQuery {
  /** Whether it asks for what it goes on from: only then a job can go on from a checkpoint. */
  readonly resumes: boolean
  /** What must be known of the records that were read. */
  readonly needs: { readonly maxPrimaryKey: boolean; readonly lastRecord: boolean; readonly lastId: boolean }
  /** Whether it can be cut into parts by the range that it is told. */
  readonly takesRange: boolean
  /** The query of a run that goes on from `variables`, or starts from the beginning when there are none. */
  render(variables: QueryVariables): Query
}

type Placeholder = (n: number) => string
/** A token of mustache's parser: kind, name or text, and for a section its inner tokens at place 4. */
type Token = readonly [
  kind: string,
  name: string,
  start: number,
  end: number,
  inner?: Token[] | string,
  ...rest: unknown[],
]
type Scope = Record<string, unknown>

/** The range of a part. */
const rangeNames = ['from', 'until']

const variableNames = ['last_id', 'max_primary_key', 'last_record_timestamp', 'last_record', ...rangeNames]

/** The placeholder of Postgres, and of datasources that name none. */
const dollar: Placeholder = (n) => `$${n}`

/**
 * Compiles the query of a job. A template is parsed by mustache, but its values never enter the text: each becomes a
 * bound parameter, whether or not the template quotes it. Throws `invalid_options` for what no run could execute.
 */
export function compileQuery(query: string | QueryFunction | undefined, placeholder = dollar): CompiledQuery {
  if (typeof query === 'function') return compileFunction(query)
  return query === undefined ? compileTemplate('', placeholder) : compileTemplate(query, placeholder)
}

function compileFunction(query: QueryFunction): CompiledQuery {
  return {
    resumes: true,
    takesRange: true,
    needs: { maxPrimaryKey: true, lastRecord: true, lastId: false },
    render(variables) {
      const { values = [], ...rest } = query(variables)
      const isArray = { accepts: Array.isArray, expected: 'an array' }
      checkOptions('query', { ...rest, values }, { text: rule.text, values: isArray })
      return { ...rest, values }
    },
  }
}

function compileTemplate(template: string, placeholder: Placeholder): CompiledQuery {
  if (template.includes('\0')) throw invalid('query', 'a text without NUL', template)
  const tokens = parse(template)
  const names = new Set(tokens.flatMap(namesIn))
  const render = (variables: QueryVariables) => bindValues(expand(tokens, scopeOf(variables)), placeholder)
  // Rendering a first run and a later one now tells at once what could never run.
  for (const variables of [{}, sampleOf(names)]) render(variables)
  const has = (name: string) => [...names].some((used) => used === name || used.startsWith(`${name}.`))
  return {
    resumes: [...names].some((name) => !rangeNames.includes(name)),
    takesRange: rangeNames.every(has),
    needs: { maxPrimaryKey: has('max_primary_key'), lastRecord: has('last_record'), lastId: has('last_id') },
    render,
  }
}

function parse(template: string): Token[] {
  try {
    return Mustache.parse(template, ['{{', '}}']) as unknown as Token[]
  } catch (error) {
    throw new JobError('invalid_options', 'Expected `query` to be a well-formed template', { cause: error })
  }
}

/** The variables that a token uses. Throws when it uses what no query may. */
function namesIn([kind, name, , , inner]: Token): string[] {
  if (kind === 'text' || kind === '!' || kind === '=') return []
  if (kind === '>') throw invalid('query', 'a template without partials', `{{>${name}}}`)
  if (name !== '.' && !variableNames.includes(name) && !/^last_record\.\d+$/.test(name)) {
    throw invalid('query', `a template of the variables ${variableNames.join(', ')} and last_record.<n>`, `{{${name}}}`)
  }
  return [name, ...(Array.isArray(inner) ? inner.flatMap(namesIn) : [])]
}

function sampleOf(names: ReadonlySet<string>): QueryVariables {
  const fields = [...names].map((name) => Number(/\d+$/.exec(name)?.[0] ?? 0) + 1)
  const lastRecord = Array.from({ length: Math.max(1, ...fields) }, () => '0')
  return { lastId: '0', maxPrimaryKey: '0', lastRecordTimestamp: '0', lastRecord, from: '0', until: '0' }
}

function scopeOf({ lastId, maxPrimaryKey, lastRecordTimestamp, lastRecord, from, until }: QueryVariables): Scope {
  const scope: Scope = {
    from,
    until,
    last_id: lastId,
    max_primary_key: maxPrimaryKey,
    last_record_timestamp: lastRecordTimestamp,
    last_record: lastRecord,
  }
  for (const [index, value] of (lastRecord ?? []).entries()) scope[`last_record.${index}`] = value
  return scope
}

/** Resolves the sections of a template: what is left is text and values. */
function expand(tokens: readonly Token[], scope: Scope): Piece[] {
  return tokens.flatMap(([kind, name, , , inner]): Piece[] => {
    if (kind === 'text') return [name]
    if (kind === '#') return itemsOf(scope[name]).flatMap((item) => expand(inner as Token[], { ...scope, '.': item }))
    if (kind === '^') return itemsOf(scope[name]).length === 0 ? expand(inner as Token[], scope) : []
    return kind === '!' || kind === '=' ? [] : [pieceOf(name, scope)]
  })
}

/** What a section runs over: nothing for a variable that is not known. */
function itemsOf(value: unknown): readonly unknown[] {
  if (value === undefined || value === null) return []
  return Array.isArray(value) ? value : [value]
}

function pieceOf(name: string, scope: Scope): Piece {
  const value = scope[name]
  if (Array.isArray(value)) {
    throw invalid(
      'query',
      'a template that goes through last_record in a section, or names last_record.<n>',
      `{{${name}}}`,
    )
  }
  if (value !== undefined) return { value }
  const section = name.startsWith('last_record.') ? 'last_record' : name
  const remedy = `a template that uses {{${name}}} only inside {{#${section}}}…{{/${section}}}: the first run has no value`
  throw invalid('query', remedy, `{{${name}}}`)
}
