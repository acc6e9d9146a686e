import type { Span } from './spans.js'

/** A text without what hides a name from the patterns, and the place of each of its parts in the text as it was written. */
export interface Decoded {
  readonly text: string
  /** The span of the written text that a span of the decoded text stands for. */
  written(span: Span): Span
}

/** The hexadecimal code of a letter. */
const letter = '(?:[46][1-9a-f]|[57][\\da])'
/** Escape, as it is, or as JSON and Node write it. */
const esc = '(?:\\u001b|\\\\{1,4}(?:u001b|x1b|033))'
/** Characters that begin a text for the terminal, such as the title of its window. */
const stringBegins = '\\u0090\\u0098\\u009d-\\u009f'

/** Control characters but tabs and line breaks, characters without a width, and those that reorder a line. */
const controls =
  '\\0-\\u0008\\u000b\\u000c\\u000e-\\u001f\\u007f-\\u009f\\u00ad\\u200b-\\u200f\\u202a-\\u202e\\u2060-\\u2069\\ufeff'

const removed = [
  // Titles and links: OSC, DCS, SOS, PM and APC, up to their end.
  `(?:${esc}[\\]PX^_]|[${stringBegins}])[^\\u0007\\u001b\\u009c${stringBegins}\\\\]{0,4096}(?:[\\u0007\\u009c]|${esc}\\\\|\\\\{1,4}(?:u0007|x07|u009c|x9c))`,
  // Other sequences: CSI, and short ones.
  `(?:${esc}\\[|\\u009b)[ -?]{0,64}[@-~]`,
  '\\u001b[ -/]{0,4}[0-~]',
  `[${controls}]`,
  // JSON's spelling of them.
  '\\\\{1,4}u(?:00(?:0[0-8bcef]|[189][\\da-f]|7f|ad)|20(?:0[b-f]|2[a-e]|6\\d)|feff)',
].join('|')

/** Letters and brackets that are written as their code. */
const codes = [
  `\\\\{1,4}(?:u00|x)(?<json>${letter}|3[ce]|26)`,
  `\\\\{1,4}u\\{0{0,4}(?<point>${letter}|3[ce])\\}`,
  `%(?<percent>${letter}|3[ce])`,
  '&(?<entity>lt|gt|quot|apos|amp|#\\d{1,7}|#x[\\da-f]{1,6});',
  // The full width of East Asian fonts.
  '(?<wide>[\\uff01-\\uff5e]{1,256})',
  '\\\\{1,4}(?<line>n)',
].join('|')

const hidden = new RegExp(`${removed}|${codes}`, 'gi')
/** Most texts have none of these. */
const special = new RegExp(`[\\\\%&\\uff01-\\uff5e${controls}]`)

/** Signs by the names of HTML. */
export const entities: Record<string, string> = { lt: '<', gt: '>', quot: '"', apos: "'", amp: '&' }

/** Removes what a terminal does not show, and decodes one level of escapes. `undefined` when there is none. */
export function decoded(written: string): Decoded | undefined {
  return special.test(written) ? replaced(written, hidden, characterOf) : undefined
}

/** Replaces each match of a pattern with named groups. `undefined` when there is none. */
export function replaced(
  written: string,
  pattern: RegExp,
  replacementOf: (groups: Record<string, string | undefined>) => string,
): Decoded | undefined {
  // Where a replaced part ends in the decoded text, and how much longer the written text is up to there.
  const ends: number[] = []
  const shifts: number[] = []
  let shift = 0
  const text = written.replace(pattern, (part: string, ...rest) => {
    const shown = replacementOf(rest.at(-1))
    const at = rest.at(-3) - shift
    if (part.length === shown.length) return shown
    shift += part.length - shown.length
    // A span that ends with a character has all of its code. One that ends before a removed part has nothing of it.
    ends.push(shown === '' ? at : at + 0.5)
    shifts.push(shift)
    return shown
  })
  if (text === written) return undefined
  const shiftOf = (isBefore: (end: number) => boolean) => shifts[countOf(ends, isBefore) - 1] ?? 0
  return {
    text,
    written: ({ start, end }) => ({
      start: start + shiftOf((at) => at <= start),
      end: end + shiftOf((at) => at < end),
    }),
  }
}

function characterOf({ json, point, percent, entity, wide, line }: Record<string, string | undefined>): string {
  const code = json ?? point ?? percent
  if (code !== undefined) return String.fromCharCode(Number.parseInt(code, 16))
  if (line !== undefined) return '\n'
  if (wide !== undefined) return String.fromCharCode(...Array.from(wide, (unit) => unit.charCodeAt(0) - 0xfee0))
  if (entity === undefined) return ''
  const named = entities[entity.toLowerCase()]
  if (named !== undefined) return named
  const number = Number.parseInt(entity.replace(/^#x?/i, ''), /^#x/i.test(entity) ? 16 : 10)
  return number > 31 && number < 127 ? String.fromCharCode(number) : ' '
}

/** How many of the first elements of a sorted list fulfil a condition that no later one does. */
function countOf(sorted: readonly number[], isFirst: (value: number) => boolean): number {
  let [low, high] = [0, sorted.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (isFirst(sorted[middle] as number)) low = middle + 1
    else high = middle
  }
  return low
}
