import { invalid } from '../../core/base/index.js'
import type { JobParams } from '../../core/model/index.js'
import type { Query } from '../contract/index.js'
import { bindValues, type Piece } from './bind-values.js'
import type { QueryFunction, QueryVariables } from './ingestion-job.js'
import type { KeyKind } from './key-comparison.js'
import { checkNulls } from './null-comparisons.js'
import { queryDigest } from './query-digest.js'
import { isParam, paramOf, paramPiece, sampleParams } from './query-params.js'
import { checkedQuery } from './returned-query.js'
import { scan } from './sql-scanner.js'
import { parseTemplate, plainBraces, type TemplateNode, type TemplateSection } from './template-parser.js'

/** A compiled query, ready to render for every run. */
export interface CompiledQuery {
  /** Whether it uses the checkpoint: only then can a job resume. */
  readonly resumes: boolean
  /** What it needs of the records read so far. */
  readonly needs: {
    readonly maxPrimaryKey: boolean | 'offered'
    readonly lastRecord: boolean
    readonly lastId: boolean
  }
  /** Whether it uses a range, so that it can be partitioned. */
  readonly takesRange: boolean
  /** How the query compares the primary key with the last one read. `undefined` if it does not, or compares in several ways. */
  comparisonOf(pkField: string): KeyComparison | undefined
  /** The column that the query compares with `last_id`, when that is another one than `pkField`. */
  otherKeyOf(pkField: string): string | undefined
  /** A variable that the query needs to resume, and that `variables` lacks. */
  missingIn(variables: QueryVariables): string | undefined
  /** The parameters that the query uses, by their first names. `undefined` for a function, which may use any. */
  readonly params: readonly string[] | undefined
  /** Tells whether the query has changed. `undefined` for a function, which may return another text for each run. */
  readonly digest: string | undefined
  /** Throws `invalid_options` when a run cannot start with these parameters. */
  checkParams(params: JobParams): void
  /** The query of a run that resumes from `variables`, or starts from the beginning without them. */
  render(variables: QueryVariables): Query
}

/** The comparison of a query that reads records after a primary key. */
export interface KeyComparison {
  readonly variable: 'last_id' | 'max_primary_key'
  readonly direction: 'rising' | 'falling'
  /** Whether it reads the last record again, and all that are equal to it. */
  readonly isInclusive: boolean
  /** How the values compare after a cast of the query. `undefined` without a cast. */
  readonly kind?: KeyKind
  /** Whether the query has an `order by`. */
  readonly isOrdered: boolean
}

type Placeholder = (n: number) => string
type Scope = Readonly<Record<string, unknown>>

/** The range of a partition. */
const rangeNames = ['from', 'until']

const variableNames = ['last_id', 'max_primary_key', 'last_record_timestamp', 'last_record', ...rangeNames]

/** The placeholder of Postgres, and the default. */
const dollar: Placeholder = (n) => `$${n}`

/**
 * Compiles the query of a job. A template uses mustache syntax, but values never enter the text: each becomes a bound parameter,
 * whether or not the template quotes it. Throws `invalid_options` for a query that no run could execute.
 */
export function compileQuery(query: string | QueryFunction | undefined, placeholder = dollar): CompiledQuery {
  if (typeof query === 'function') return compileFunction(query)
  return query === undefined ? compileTemplate('', placeholder) : compileTemplate(query, placeholder)
}

function compileFunction(query: QueryFunction): CompiledQuery {
  return {
    resumes: true,
    takesRange: true,
    needs: { maxPrimaryKey: 'offered', lastRecord: true, lastId: false },
    comparisonOf: () => undefined,
    otherKeyOf: () => undefined,
    missingIn: () => undefined,
    params: undefined,
    digest: undefined,
    checkParams: () => undefined,
    render(variables) {
      const returned = checkedQuery(query({ params: {}, ...variables }))
      checkNul(returned.text)
      return returned
    },
  }
}

function compileTemplate(template: string, placeholder: Placeholder): CompiledQuery {
  checkNul(template)
  const nodes = parseTemplate(template)
  checkNames(nodes)
  const names = new Set(namesIn(nodes))
  const render = (variables: QueryVariables) => {
    const pieces = expand(nodes, scopeOf(variables))
    checkNulls(pieces)
    return bindValues(pieces, placeholder)
  }
  // Rendering a first run and a later one now detects queries that can never run.
  const sample = sampleOf(names)
  for (const variables of [{ params: sample.params ?? {} }, sample]) render(variables)
  // Asked for every batch.
  const compared = comparedWithId(expand(nodes, scopeOf(sample)))
  const has = (name: string) => [...names].some((used) => used === name || used.startsWith(`${name}.`))
  return {
    resumes: [...names].some((name) => !rangeNames.includes(name) && !isParam(name)),
    takesRange: rangeNames.every(has),
    needs: { maxPrimaryKey: has('max_primary_key'), lastRecord: has('last_record'), lastId: has('last_id') },
    comparisonOf: (pkField) =>
      has('last_record') || has('last_record_timestamp')
        ? undefined
        : comparisonIn(expand(nodes, scopeOf(sampleOf(names))), pkField),
    otherKeyOf: (pkField) =>
      compared.some((name) => isNameOf(name, pkField)) ? undefined : compared[0]?.replaceAll('"', ''),
    missingIn(variables) {
      const scope = scopeOf(variables)
      const asked = [...names].filter((name) => name !== '.' && !rangeNames.includes(name) && !isParam(name))
      return asked.find((name) => scope[name] === undefined || isEmpty(scope[name]))
    },
    params: [...new Set([...names].filter(isParam).map((name) => name.split('.')[1] as string))],
    digest: queryDigest(template),
    checkParams: (params) => void render({ params }),
    render,
  }
}

/** NUL ends a text in the protocol of the server, and would make what follows a part of the protocol. */
function checkNul(text: string): void {
  if (text.includes('\0')) throw invalid('query', 'a text without NUL', text)
}

/** The variables that a template uses. */
function namesIn(nodes: readonly TemplateNode[]): string[] {
  return nodes.flatMap((node) => {
    if (node.kind === 'text') return []
    return node.kind === 'value' ? [node.name] : [node.name, ...namesIn(node.nodes)]
  })
}

/** Throws when a template uses a name that is not allowed. */
function checkNames(nodes: readonly TemplateNode[], isInRecord = false): void {
  for (const node of nodes) {
    if (node.kind === 'text') continue
    const { name } = node
    if (name !== '.' && !variableNames.includes(name) && columnOf(name) === undefined && !isParam(name)) {
      const known = `${variableNames.join(', ')}, last_record.<n> and params.<name>`
      const expected = `a template of the variables ${known}${plainBraces()}`
      throw invalid('query', expected, `{{${name}}}`)
    }
    if (node.kind === 'value') continue
    if (name === 'last_record' && isInRecord) {
      throw invalid('query', 'a template without {{#last_record}} inside {{#last_record}}', `{{#${name}}}`)
    }
    checkNames(node.nodes, isInRecord || name === 'last_record')
  }
}

/** The column that `last_record.<n>` names. */
function columnOf(name: string): number | undefined {
  const digits = /^last_record\.(0|[1-9]\d{0,3})$/.exec(name)?.[1]
  return digits === undefined ? undefined : Number(digits)
}

/** Values for a trial rendering. Several columns, as a template that iterates over them may work with one alone. */
function sampleOf(names: ReadonlySet<string>): QueryVariables {
  const columns = [...names].map((name) => (columnOf(name) ?? 0) + 1)
  const lastRecord = Array.from({ length: Math.max(3, ...columns) }, () => '0')
  // The value equals the name, so that its position can be found.
  return {
    lastId: 'last_id',
    maxPrimaryKey: 'max_primary_key',
    lastRecordTimestamp: '0',
    lastRecord,
    from: '0',
    until: '0',
    params: sampleParams(names),
  }
}

/** Maximum distance between a value and its comparison, in characters. */
const maxDistance = 300

const nameText = String.raw`(?:[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*|"[^"]+")`
const castText = String.raw`(?:::\s*([A-Za-z]\w*)\s*)?`
const operatorText = '(<=?|>=?)'
const comparisonBefore = new RegExp(
  String.raw`(?:^|[^.\w$"\u0080-\uffff])((?:not\b|[-+*/%|&^#~@!])\s*)?((?:${nameText}\.)*)(${nameText})\s*${castText}${operatorText}\s*(?:[eE]?')?$`,
  'i',
)
const comparisonAfter = new RegExp(
  String.raw`^'?\s*${castText}${operatorText}\s*(?:${nameText}\.)*(${nameText})\s*${castText}(?![\w$"(.\u0080-\uffff]|\s*[-+*/%|&^#~@!:])`,
)

/** Types to which a query may cast ids, and how their values compare. */
const kindsOfTypes: Readonly<Record<string, KeyKind>> = {
  ...Object.fromEntries(
    [
      'int',
      'int2',
      'int4',
      'int8',
      'integer',
      'smallint',
      'bigint',
      'numeric',
      'decimal',
      'real',
      'float',
      'float4',
      'float8',
    ].map((type) => [type, 'number']),
  ),
  ...{ date: 'time', timestamp: 'time', timestamptz: 'time', uuid: 'text' },
}

/** Finds a comparison such as `id > {{last_id}}`. */
function comparisonIn(pieces: readonly Piece[], pkField: string): KeyComparison | undefined {
  const text = pieces.map((piece) => (typeof piece === 'string' ? piece : '?')).join('')
  for (const [index, piece] of pieces.entries()) {
    const variable = typeof piece === 'string' ? undefined : piece.value
    if (variable !== 'last_id' && variable !== 'max_primary_key') continue
    const found = comparisonAt(pieces[index - 1], pieces[index + 1])
    if (!found || !isNameOf(found.name, pkField)) continue
    const { cast, operator } = found
    const kind = cast === undefined ? undefined : kindsOfTypes[cast.toLowerCase()]
    // Other types, such as text, have another order than the column.
    if (cast !== undefined && kind === undefined) continue
    const direction = operator.startsWith('>') ? 'rising' : 'falling'
    return {
      variable,
      direction,
      isInclusive: operator.endsWith('='),
      ...(kind && { kind }),
      isOrdered: hasOrder(text),
    }
  }
  return undefined
}

/** The columns that are compared with `last_id`. */
function comparedWithId(pieces: readonly Piece[]): string[] {
  return pieces.flatMap((piece, index) => {
    const isId = typeof piece !== 'string' && piece.value === 'last_id'
    return (isId && comparisonAt(pieces[index - 1], pieces[index + 1])?.name) || []
  })
}

/** The name and the operator that a value is compared with, normalized to have the column on the left. */
function comparisonAt(
  before: Piece | undefined,
  after: Piece | undefined,
): { readonly name: string; readonly cast: string | undefined; readonly operator: string } | undefined {
  const left = typeof before === 'string' ? comparisonBefore.exec(before.slice(-maxDistance)) : null
  if (left) {
    const [, isOther, , name = '', cast, operator = ''] = left
    return isOther ? undefined : { name, cast, operator }
  }
  const right = typeof after === 'string' ? comparisonAfter.exec(after.slice(0, maxDistance)) : null
  if (!right) return undefined
  const [, , operator = '', name = '', cast] = right
  return { name, cast, operator: operator.replace(/[<>]/, (sign) => (sign === '<' ? '>' : '<')) }
}

function isNameOf(name: string, pkField: string): boolean {
  return name.startsWith('"') ? name === `"${pkField}"` : name.toLowerCase() === pkField.toLowerCase()
}

function hasOrder(text: string): boolean {
  let before = ''
  for (const { kind, start, end } of scan(text)) {
    const word = kind === 'word' ? text.slice(start, end).toLowerCase() : ''
    if (before === 'order' && word === 'by') return true
    if (kind !== 'comment') before = word
  }
  return false
}

function scopeOf({
  lastId,
  maxPrimaryKey,
  lastRecordTimestamp,
  lastRecord,
  from,
  until,
  params,
}: QueryVariables): Scope {
  const scope: Record<string, unknown> = {
    from,
    until,
    last_id: lastId,
    max_primary_key: maxPrimaryKey,
    last_record_timestamp: lastRecordTimestamp,
    last_record: lastRecord,
    params,
  }
  for (const [index, value] of (lastRecord ?? []).entries()) scope[`last_record.${index}`] = value
  return scope
}

/** Resolves the sections of a template into text and values. */
function expand(nodes: readonly TemplateNode[], scope: Scope): Piece[] {
  return nodes.flatMap((node): Piece[] => {
    if (node.kind === 'text') return [node.text]
    if (node.kind === 'value') return [pieceOf(node.name, scope)]
    return scopesOf(node, scope).flatMap((inner) => expand(node.nodes, inner))
  })
}

/** The scopes of a section, one per repetition. It iterates over the columns of a record when it contains `{{.}}`. */
function scopesOf({ name, isInverted, nodes }: TemplateSection, scope: Scope): readonly Scope[] {
  const value = scopeValue(name, scope)
  const isOff = value === false && isParam(name)
  const isKnown = value !== undefined && value !== null && !isEmpty(value) && !isOff
  if (isInverted || !isKnown) return isInverted === isKnown ? [] : [scope]
  if (!Array.isArray(value)) return [{ ...scope, '.': value }]
  return iterates(nodes) ? value.map((item) => ({ ...scope, '.': item })) : [scope]
}

function isEmpty(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0
}

/** Whether a section contains `{{.}}` for its own variable. Inner sections have their own. */
function iterates(nodes: readonly TemplateNode[]): boolean {
  return nodes.some((node) => {
    if (node.kind === 'text') return false
    return node.name === '.' || (node.kind === 'section' && node.isInverted && iterates(node.nodes))
  })
}

/** The value of a name in a scope. */
function scopeValue(name: string, scope: Scope): unknown {
  return isParam(name) ? paramOf(name, (scope.params ?? {}) as JobParams) : scope[name]
}

function pieceOf(name: string, scope: Scope): Piece {
  const value = scopeValue(name, scope)
  if (isParam(name)) return paramPiece(name, value)
  if (Array.isArray(value)) {
    throw invalid(
      'query',
      'a template that iterates over last_record in a section, or names last_record.<n>',
      `{{${name}}}`,
    )
  }
  if (value !== undefined) return name === '.' ? { value, isItem: true } : { value }
  if (name === '.') throw invalid('query', 'a template with {{.}} only inside a section that is kept', '{{.}}')
  const isColumn = columnOf(name) !== undefined
  const record = scope.last_record
  if (isColumn && Array.isArray(record)) {
    throw invalid('query', `a template for a last_record of ${record.length} columns`, `{{${name}}}`)
  }
  const section = isColumn ? 'last_record' : name
  const remedy = `a template that uses {{${name}}} only inside {{#${section}}}…{{/${section}}}: the first run has no value`
  throw invalid('query', remedy, `{{${name}}}`)
}
