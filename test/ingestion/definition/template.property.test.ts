import Mustache from 'mustache'
import { describe, expect, test } from 'vitest'
import { parseTemplate, type TemplateNode } from '../../../src/ingestion/definition/template-parser.js'

const pieces = [
  ...['a', ' ', '  ', '\n', '\r\n', '\t', 'x y', '}', '{', '{ {', '<%', '%>'],
  ...[
    '{{n}}',
    '{{ n }}',
    '{{{n}}}',
    '{{{ n }}}',
    '{{&n}}',
    '{{& n }}',
    '{{! c }}',
    '{{!}}',
    '{{=<% %>=}}',
    '<%={{ }}=%>',
  ],
  ...[
    '{{#s}}',
    '{{ # s }}',
    '{{/s}}',
    '{{/ s }}',
    '{{^s}}',
    '{{#t}}',
    '{{/t}}',
    '<%n%>',
    '<%#s%>',
    '<%/s%>',
    '<%{n}%>',
  ],
]

type Random = () => number

function randomOf(seed: number): Random {
  let state = seed
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}

/** A template that is often well-formed, as it closes what it has opened. */
function templateOf(random: Random): string {
  const parts = Array.from({ length: 1 + Math.floor(random() * 14) }, () => {
    const piece = pieces[Math.floor(random() * pieces.length)] as string
    const inner = pieces[Math.floor(random() * pieces.length)] as string
    return random() < 0.3 && piece === '{{#s}}' ? `${piece}${inner}{{/s}}` : piece
  })
  return parts.join('')
}

/** What mustache's own parser makes of a template, in the words of ours. */
function reference(template: string): TemplateNode[] {
  type Token = [string, string, number, number, Token[]?]
  const writer = new Mustache.Writer()
  const nodesOf = (tokens: Token[]): TemplateNode[] =>
    tokens.flatMap(([kind, name, , , inner]): TemplateNode[] => {
      if (kind === 'text') return [{ kind: 'text', text: name }]
      if (kind === '!' || kind === '=') return []
      if (kind !== '#' && kind !== '^') return [{ kind: 'value', name }]
      return [{ kind: 'section', name, isInverted: kind === '^', nodes: nodesOf(inner ?? []) }]
    })
  return joined(nodesOf(writer.parse(template, ['{{', '}}']) as unknown as Token[]))
}

/** Texts that follow each other as one, and none that is empty. */
function joined(nodes: readonly TemplateNode[]): TemplateNode[] {
  const result: TemplateNode[] = []
  for (const node of nodes) {
    const last = result.at(-1)
    if (node.kind === 'section') result.push({ ...node, nodes: joined(node.nodes) })
    else if (node.kind === 'text' && last?.kind === 'text') {
      result[result.length - 1] = { kind: 'text', text: last.text + node.text }
    } else if (node.kind !== 'text' || node.text !== '') result.push(node)
  }
  return result
}

function attempt<Answer>(call: () => Answer): Answer | undefined {
  try {
    return call()
  } catch {
    return undefined
  }
}

describe('a template', () => {
  test('is parsed as mustache does', () => {
    let wellFormed = 0
    for (let seed = 1; seed <= 20_000; seed++) {
      const template = templateOf(randomOf(seed))
      const expected = attempt(() => reference(template))
      const parsed = attempt(() => joined(parseTemplate(template)))
      expect(parsed, `seed ${seed}: ${JSON.stringify(template)}`).toEqual(expected)
      if (expected) wellFormed++
    }
    expect(wellFormed).toBeGreaterThan(2000)
  })
})
