import { type Column, type CustomType, JobError } from '../../../adapter.js'
import { shown } from '../../shared/index.js'
import type { Check, ColumnKind } from './column-kind.js'
import { neutralTypeOf } from './neutral-type.js'
import { doubleCheck, moneyCheck, realCheck, scaleCheck } from './number-limits.js'
import { dateCheck, intervalCheck, timeCheck, timestampCheck, timestamptzCheck, timetzCheck } from './time-limits.js'

/** A type with its length or precision. */
interface SqlType {
  /** As `numeric(10,2)`, for messages. */
  readonly type: string
  /** As `numeric`. */
  readonly name: string
  /** As 10 and 2. */
  readonly numbers: readonly number[]
}

/** What a type changes. */
interface Limit {
  /** Undefined for a type without a length or precision, if only these change values. */
  check(own: SqlType, moneyScale: number): Check | undefined
  /** Whether no value of a column of a source can be changed. */
  holds(source: SqlType, own: SqlType): boolean
}

const integers = ['smallint', 'integer', 'bigint']

/** By the type of a column of the table. Types that are not here refuse what they cannot hold, or are documented. */
const limits = new Map<string, Limit>(
  Object.entries<Limit>({
    numeric: {
      check: ({ type, numbers: [precision, scale = 0] }) =>
        precision === undefined ? undefined : scaleCheck(type, scale),
      holds: (source, { numbers: [, scale = 0] }) =>
        isOf(source, integers) ? scale >= 0 : source.name === 'numeric' && scaleOf(source) <= scale,
    },
    money: {
      check: ({ type }, scale) => moneyCheck(type, scale),
      holds: (source) => isOf(source, ['money', ...integers]),
    },
    'double precision': {
      check: ({ type }) => doubleCheck(type),
      holds: (source) => isOf(source, ['double precision', 'real', 'smallint', 'integer']) || isShort(source, 15),
    },
    real: {
      check: ({ type }) => realCheck(type),
      holds: (source) => isOf(source, ['real', 'smallint']) || isShort(source, 6),
    },
    date: { check: ({ type }) => dateCheck(type), holds: (source) => isOf(source, ['date']) },
    'time without time zone': {
      check: (own) => timeCheck(own.type, digitsOf(own)),
      holds: holdsTimes('time without time zone'),
    },
    'time with time zone': {
      check: (own) => timetzCheck(own.type, digitsOf(own)),
      holds: holdsTimes('time without time zone', 'time with time zone'),
    },
    'timestamp without time zone': {
      check: (own) => timestampCheck(own.type, digitsOf(own)),
      holds: holdsTimes('date', 'timestamp without time zone'),
    },
    'timestamp with time zone': {
      check: (own) => timestamptzCheck(own.type, digitsOf(own)),
      holds: holdsTimes('date', 'timestamp without time zone', 'timestamp with time zone'),
    },
    interval: {
      check: (own) => intervalCheck(own.type, own.name, digitsOf(own)),
      holds: (source, own) => source.name === own.name && digitsOf(source) <= digitsOf(own),
    },
    'character varying': { check: spacesOf, holds: holdsTexts },
    character: { check: spacesOf, holds: holdsTexts },
    name: { check: ({ type }) => bytesCheck(type, 63), holds: (source) => isOf(source, ['name', '"char"']) },
    '"char"': { check: ({ type }) => bytesCheck(type, 1), holds: (source) => isOf(source, ['"char"']) },
  }),
)

/** The check of a column of the table, with an element for an array. `moneyScale` is the number of digits that money has behind the point. */
export function checkOf(
  kind: Pick<ColumnKind, 'sqlType' | 'fullType' | 'element'>,
  moneyScale: number,
): Check | undefined {
  const { element, fullType, sqlType } = kind
  if (element?.check) return arrayCheck(element.check)
  return limits.get(sqlType)?.check(parsed(fullType), moneyScale)
}

/** The check that texts of this column of the records need. Undefined where the column of the table holds all of them. */
export function neededCheck(kind: ColumnKind, column: Column | undefined): Check | undefined {
  const source = column && declaredType(column)
  return source !== undefined && holds(kind, source) ? undefined : kind.check
}

/** Whether the values of a column in the binary form of the same type can be written unread. */
export function holdsForm(kind: ColumnKind, column: Column): boolean {
  const innermost = elementOf(kind)
  return innermost.fullType === innermost.sqlType || neededCheck(kind, column) === undefined
}

function elementOf(kind: ColumnKind): ColumnKind {
  return kind.element ? elementOf(kind.element) : kind
}

/** The type of a column of a source whose values all have that type, as those of SQLite have not. Domains count as their base types. */
function declaredType(column: Column): string | undefined {
  const { system = 'postgres', sqlType, customType } = column
  if (system === 'postgres') return customType ? baseOf(customType.sqlType, customType) : sqlType
  return system === 'mysql' ? neutralTypeOf(column) : undefined
}

function baseOf(type: string, custom: CustomType): string {
  if (type.endsWith('[]')) return `${baseOf(type.slice(0, -2), custom)}[]`
  const domain = custom.definitions.find(({ kind, name }) => kind === 'domain' && name === type)
  const [base] = domain?.parts ?? []
  return base === undefined ? type : baseOf(base, custom)
}

function holds(kind: ColumnKind, source: string): boolean {
  if (kind.element) return source.endsWith('[]') && holds(kind.element, source.slice(0, -2))
  return source === kind.fullType || limits.get(kind.sqlType)?.holds(parsed(source), parsed(kind.fullType)) === true
}

/** The names that Postgres shows of types that can be given in fewer words. */
const longNames = new Map(
  Object.entries({
    varchar: 'character varying',
    bpchar: 'character',
    time: 'time without time zone',
    timestamp: 'timestamp without time zone',
    timestamptz: 'timestamp with time zone',
  }),
)

/** Parses a type as `timestamp(3) with time zone`. */
function parsed(type: string): SqlType {
  const [modifier = '', numbers = ''] = /\(([\d,-]*)\)/.exec(type) ?? []
  const name = modifier === '' ? type : type.replace(modifier, '')
  return { type, name: longNames.get(name) ?? name, numbers: numbers === '' ? [] : numbers.split(',').map(Number) }
}

function isOf({ name }: SqlType, names: readonly string[]): boolean {
  return names.includes(name)
}

/** That of a numeric without precision has no limit. */
function scaleOf({ numbers: [precision, scale = 0] }: SqlType): number {
  return precision === undefined ? Number.POSITIVE_INFINITY : scale
}

/** Whether it is a numeric of so few digits, none of them far from the point. */
function isShort(
  { name, numbers: [precision = Number.POSITIVE_INFINITY, scale = 0] }: SqlType,
  digits: number,
): boolean {
  return name === 'numeric' && precision <= digits && Math.abs(scale) <= 20
}

/** The digits of a second. */
function digitsOf({ numbers: [digits = 6] }: SqlType): number {
  return digits
}

function holdsTimes(...names: readonly string[]): Limit['holds'] {
  return (source, own) => isOf(source, names) && (source.name === 'date' || digitsOf(source) <= digitsOf(own))
}

/** Spaces at the end have no meaning in the values of `character`. */
function holdsTexts(source: SqlType, { numbers: [length = 0] }: SqlType): boolean {
  const [most = Number.POSITIVE_INFINITY] = source.numbers
  return source.name === 'character' || (source.name === 'character varying' && most <= length)
}

/** Of spaces beyond the length, which the server cuts. It refuses other characters there. */
function spacesOf({ type, numbers: [length] }: SqlType): Check | undefined {
  if (length === undefined) return undefined
  return (text) => {
    if (text.length <= length || !text.endsWith(' ')) return
    let end = text.length
    while (text[end - 1] === ' ') end--
    const kept = charactersIn(text.slice(0, end))
    if (kept > length || kept + text.length - end <= length) return
    throw new JobError(
      'target',
      `Expected up to ${length} characters for \`${type}\`, which would cut the spaces at the end, got ${shown(text)}.`,
    )
  }
}

function charactersIn(text: string): number {
  let count = 0
  for (const _ of text) count++
  return count
}

/** The form of a byte that is no ASCII, in a value of the type `"char"`. */
const octal = /^\\[0-7]{3}$/

/** Of bytes beyond the length, which the server cuts. */
function bytesCheck(type: string, length: number): Check {
  return (text) => {
    if (3 * text.length <= length || Buffer.byteLength(text) <= length || (length === 1 && octal.test(text))) return
    throw new JobError(
      'target',
      `Expected up to ${length} ${length === 1 ? 'byte' : 'bytes'} of UTF-8 for \`${type}\`, which would cut the rest, got ${shown(text)}.`,
    )
  }
}

/** Elements of the text of an array, with their quotes. */
const elements = /"(?:[^"\\]|\\[\s\S])*(?:"|\\?$)|[^{},"]+/g

/** Of each element in the text of an array. */
function arrayCheck(check: Check): Check {
  return (text) => {
    // Before it, there may be bounds: `[0:1]={1,2}`.
    for (const [found] of text.slice(text.indexOf('{') + 1).matchAll(elements)) {
      const isQuoted = found.startsWith('"')
      const element = (isQuoted ? found.slice(1, -1) : found.trim()).replace(/\\([\s\S])/g, '$1')
      if (isQuoted || (element !== '' && element.toLowerCase() !== 'null')) check(element)
    }
  }
}
