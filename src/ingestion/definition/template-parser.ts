import { invalid, JobError } from '../../core/base/index.js'

/** A piece of a template: text, a value, or a section around other pieces. */
export type TemplateNode =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'value'; readonly name: string }
  | TemplateSection

export interface TemplateSection {
  readonly kind: 'section'
  readonly name: string
  /** Whether it is kept only when its variable has no value. */
  readonly isInverted: boolean
  readonly nodes: readonly TemplateNode[]
}

/** Maximum nesting of sections. */
const maxDepth = 32

/** A tag between its delimiters. */
interface Tag {
  readonly type: string
  readonly name: string
  readonly end: number
}

/**
 * Parses a mustache template in linear time: mustache's own parser searches the rest of the template at every tag. Throws
 * `invalid_options` for a template that is not well-formed, and for partials.
 */
export function parseTemplate(template: string): readonly TemplateNode[] {
  return new TemplateParser(template).parse()
}

interface OpenSection extends TemplateSection {
  readonly nodes: TemplateNode[]
}

class TemplateParser {
  readonly #template: string
  #delimiters: readonly [string, string] = ['{{', '}}']
  readonly #root: TemplateNode[] = []
  readonly #sections: OpenSection[] = []
  /** White space on the current line, which is dropped when a section, a comment or the like stands alone there. */
  #blanks: { text: string }[] = []
  #hasTag = false
  #hasContent = false

  constructor(template: string) {
    this.#template = template
  }

  parse(): readonly TemplateNode[] {
    const template = this.#template
    for (let at = 0; at < template.length; ) {
      const open = template.indexOf(this.#delimiters[0], at)
      this.#addText(template.slice(at, open < 0 ? template.length : open))
      if (open < 0) break
      const tag = this.#tagAt(open)
      this.#addTag(tag)
      at = tag.end
    }
    this.#endLine()
    const unclosed = this.#sections.at(-1)
    if (unclosed) throw malformed(`{{#${unclosed.name}}} is never closed`)
    return this.#root
  }

  #addText(text: string): void {
    for (const [line] of text.matchAll(/[^\n]*\n|[^\n]+/g)) {
      const node = { kind: 'text' as const, text: line }
      this.#nodes.push(node)
      if (/\S/.test(line)) this.#hasContent = true
      else this.#blanks.push(node)
      if (line.endsWith('\n')) this.#endLine()
    }
  }

  #endLine(): void {
    if (this.#hasTag && !this.#hasContent) for (const blank of this.#blanks) blank.text = ''
    this.#blanks = []
    this.#hasTag = false
    this.#hasContent = false
  }

  #tagAt(open: number): Tag {
    const [opening, closing] = this.#delimiters
    const start = this.#skipBlank(open + opening.length)
    const first = this.#template[start] ?? ''
    const type = '#^/>{&=!'.includes(first) ? first : ''
    const from = this.#skipBlank(start + type.length)
    if (type === '=') return this.#delimiterTag(from)
    const close = type === '{' ? `}${closing}` : closing
    const end = this.#template.indexOf(close, from)
    if (end < 0) throw this.#unclosedTag(open)
    return { type, name: this.#template.slice(from, end).trimEnd(), end: end + close.length }
  }

  #delimiterTag(from: number): Tag {
    const [opening, closing] = this.#delimiters
    const equals = this.#template.indexOf('=', from)
    const name = this.#template.slice(from, equals)
    const end = this.#skipBlank(equals + 1)
    if (equals < 0 || !this.#template.startsWith(closing, end)) throw malformed(`${opening}= has no =${closing}`)
    return { type: '=', name, end: end + closing.length }
  }

  #skipBlank(from: number): number {
    let at = from
    while (at < this.#template.length && (this.#template[at] as string).trim() === '') at++
    return at
  }

  #addTag({ type, name }: Tag): void {
    this.#hasTag = true
    if (type === '#' || type === '^') this.#openSection(name, type === '^')
    else if (type === '/') this.#closeSection(name)
    else if (type === '=') this.#setDelimiters(name)
    else if (type === '>') throw invalid('query', 'a template without partials', `{{>${name}}}`)
    else if (type !== '!') {
      this.#hasContent = true
      this.#nodes.push({ kind: 'value', name })
    }
  }

  #openSection(name: string, isInverted: boolean): void {
    if (this.#sections.length === maxDepth) {
      throw invalid('query', `a template with up to ${maxDepth} nested sections`, `{{#${name}}}`)
    }
    const section: OpenSection = { kind: 'section', name, isInverted, nodes: [] }
    this.#nodes.push(section)
    this.#sections.push(section)
  }

  #closeSection(name: string): void {
    const section = this.#sections.pop()
    if (!section) throw malformed(`{{/${name}}} closes nothing`)
    if (section.name !== name) throw malformed(`{{#${section.name}}} is closed by {{/${name}}}`)
  }

  #setDelimiters(name: string): void {
    const [opening, closing, ...more] = name.trim().split(/\s+/)
    if (!opening || !closing || more.length > 0) throw malformed('new delimiters are two words, as in {{=<% %>=}}')
    this.#delimiters = [opening, closing]
  }

  get #nodes(): TemplateNode[] {
    return this.#sections.at(-1)?.nodes ?? this.#root
  }

  #unclosedTag(open: number): JobError {
    const [opening, closing] = this.#delimiters
    const line = this.#template.slice(0, open).split('\n').length
    return malformed(`the ${opening} in line ${line} has no ${closing}${plainBraces(opening)}`)
  }
}

/** How to write `{{` that begins no tag. */
export function plainBraces(opening = '{{'): string {
  return opening === '{{' ? '; for literal braces, write `{ {`, or begin the template with {{=<% %>=}}' : ''
}

function malformed(reason: string): JobError {
  return new JobError('invalid_options', `Expected \`query\` to be a well-formed template, got one where ${reason}`)
}
