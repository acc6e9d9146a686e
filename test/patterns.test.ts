import ts from 'typescript'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { cursorTypes } from '../src/adapters/postgres/keyset/cursor-types.js'
import { bareStatement } from '../src/adapters/postgres/keyset/single-statement.js'
import { compareKeys } from '../src/ingestion/definition/key-comparison.js'
import { compileQuery } from '../src/ingestion/definition/query-template.js'
import { growthOf } from './support/linear.js'
import { nodesOf, sources } from './support/source.js'

/** Patterns that see short texts alone, and why. */
const bounded: Record<string, string> = {
  'adapters/postgres/protocol/built-in-forms.ts /0+$/': 'six digits',
  'ingestion/definition/null-comparisons.ts /[<>=]\\s*(?:\\([^()]*)?$/': '300 characters',
  'ingestion/definition/null-comparisons.ts /^\\s*(?:::\\s*\\w+\\s*)?(?:,[^()]*)?\\)?\\s*[<>=]/': '300 characters',
}

/** Every pattern of the library, by its file and text. */
const patterns = new Map(
  sources.flatMap(({ name, tree }) =>
    nodesOf(tree)
      .filter(ts.isRegularExpressionLiteral)
      .map(({ text }): [string, RegExp] => {
        const end = text.lastIndexOf('/')
        return [`${name} ${text}`, new RegExp(text.slice(1, end), text.slice(end + 1))]
      }),
  ),
)

/** What in a pattern matches no character itself: how often something is repeated, and how a group begins. */
const syntax = /(?<!\\)(?:\{\d+,?\d*\}|\(\?(?:[:=!]|<[=!]|<\w+>))/g

/** The parts of a pattern that match one character each: classes, escapes and letters. */
const singles = /\[(?:\\.|[^\]\\])*\]|\\[pP]\{[^}]*\}|\\u\{[^}]*\}|\\u[\da-f]{4}|\\x[\da-f]{2}|\\.|[^\\()[\]{}|*+?^$]/gi

/** One of each common class of characters. */
const common = [...' \n0aA_é\ud83d\\()[]{}$*+?^|']

/**
 * What a pattern may repeat: the words and characters that it names, and the common ones. Of characters that no part of the
 * pattern tells apart, one is enough.
 */
function unitsOf({ source, flags }: RegExp): string[] {
  const text = source.replace(syntax, '(')
  const escaped = [...text.matchAll(/\\[ux]([\da-f]{2,4})/gi)].map(([, code = '']) =>
    String.fromCharCode(Number.parseInt(code, 16)),
  )
  const named = text.match(/[a-z]{2,}|[^\\()[\]{}|*+?^$]/gi) ?? []
  const parts = ['\\w', '\n', ...(text.match(singles) ?? [])].map((part) => partOf(part, flags))
  const kindOf = (unit: string) => (unit.length > 1 ? unit : parts.map((part) => Number(part.test(unit))).join(''))
  return [...new Map([...named, ...escaped, ...common].map((unit) => [kindOf(unit), unit])).values()].slice(0, 60)
}

function partOf(part: string, flags: string): RegExp {
  return new RegExp(`^(?:${part})$`, flags.replace(/[gmy]/g, ''))
}

/** All that a pattern finds in a text. */
function findAll(pattern: RegExp, text: string): void {
  pattern.lastIndex = 0
  if (!pattern.global) pattern.exec(text)
  else while (pattern.exec(text)) if (pattern.lastIndex === 0) break
}

/** Whether a text that is ten times as long takes much more than ten times as long. */
function isSteep(work: (text: string) => unknown, textOf: (length: number) => string, length: number): boolean {
  const prepare = (size: number) => {
    const text = textOf(size)
    return () => work(text)
  }
  return growthOf(prepare, { length, factor: 10 }) > 4
}

/** A short text first: what is steep would not come to the end of a long one. */
function isEver(steep: (length: number) => boolean): boolean {
  return steep(20_000) || steep(200_000)
}

describe('a pattern takes time that grows with the length of the text', () => {
  const unbounded = [...patterns].filter(([name]) => !(name in bounded))

  test.each(unbounded)(
    '%s',
    (_, pattern) => {
      const find = (text: string) => findAll(pattern, text)
      const units = unitsOf(pattern)
      for (const unit of units) {
        const many = (length: number) => `${unit.repeat(length / unit.length)}\u0001`
        expect(
          isEver((length) => isSteep(find, many, length)),
          JSON.stringify(unit),
        ).toBe(false)
        for (const other of units) {
          const pairs = (length: number) => `${(unit + other).repeat(length / (unit.length + other.length))}\u0001`
          const run = (length: number) => `${unit}${other.repeat(length / other.length)}\u0001`
          const isOne = isSteep(find, pairs, 10_000) || isSteep(find, run, 10_000)
          expect(isOne, JSON.stringify([unit, other])).toBe(false)
        }
      }
    },
    60_000,
  )

  test('no exception is left over', () => {
    expect(Object.keys(bounded).filter((name) => !patterns.has(name))).toEqual([])
  })
})

describe('a scanner takes time that grows with the length of the text', () => {
  const texts = [
    ...[
      "'",
      '"',
      '$',
      '$a$',
      '$a',
      '/*',
      '*/',
      '--',
      '--\n',
      ';',
      'a',
      ' ',
      '\n',
      "e'\\",
      "'\n",
      "E'a'\n",
      '0',
      '(',
      "u&'",
    ],
    ...[
      '/* a */',
      "'a' ",
      '{{',
      '}}',
      '{{{',
      '{{a',
      '{{! ',
      '{{=',
      '{{#last_id}}',
      '{{^last_id}}',
      '{{/last_id}}',
      '\\',
    ],
    ...['{{#last_id}}{{last_id}} {{/last_id}}', "{{#last_id}}'{{last_id}}' {{/last_id}}", 'timestamp ', 'interval '],
  ]
  const statement = (text: string) => attempt(() => bareStatement(text))
  const template = (text: string) =>
    attempt(() => compileQuery(`${text}{{#last_id}}{{last_id}}{{/last_id}}`).comparisonOf('id'))

  describe.each([
    ['statement', statement],
    ['template', template],
  ])('of a %s', (_, work) => {
    test.each(texts)(
      '%j',
      (unit) => {
        const textOf = (length: number) => `select 1 ${unit.repeat(length / unit.length)} x`
        expect(isEver((length) => isSteep(work, textOf, length))).toBe(false)
      },
      60_000,
    )
  })

  test.each([
    ['a comparison of numbers', (text: string) => compareKeys(text, `${text}1`, 'number')],
    ...[...cursorTypes.values()].flatMap(({ name, canonical }): [string, (text: string) => unknown][] =>
      canonical ? [[`the canonical text of a ${name}`, canonical]] : [],
    ),
  ])('of %s', (_, work) => {
    for (const unit of ['0', ' ', '1', '.', '00000001']) {
      const textOf = (length: number) => `0.${unit.repeat(length / unit.length)}1`
      expect(
        isEver((length) => isSteep(work, textOf, length)),
        unit,
      ).toBe(false)
    }
  })
})

function attempt(work: () => unknown): unknown {
  try {
    return work()
  } catch {
    return undefined
  }
}

describe('what is steep', () => {
  /** Whether work is steep that takes so many milliseconds of the processor, in its n-th run over a text of a length. */
  function isFound(timeOf: (length: number, run: number) => number): boolean {
    let now = 0
    let runs = 0
    const usage = (since?: NodeJS.CpuUsage) => ({ user: now - (since?.user ?? 0), system: 0 })
    vi.spyOn(process, 'cpuUsage').mockImplementation(usage)
    onTestFinished(() => void vi.restoreAllMocks())
    return isSteep(
      ({ length }) => {
        now += 1000 * timeOf(length, runs++)
      },
      (length) => 'a'.repeat(length),
      20_000,
    )
  }

  test('is found', () => {
    expect(isFound((length) => (length / 1000) ** 2)).toBe(true)
    expect(isFound((length) => length / 100)).toBe(false)
  })

  test('is not taken from measurements that a busy machine spoils', () => {
    expect(isFound((length, run) => (length / 100) * (length === 20_000 && run < 10 ? 10 : 1))).toBe(false)
  })
})
