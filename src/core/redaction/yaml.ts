import { stackLine } from './sentences.js'
import { after, endOf } from './spans.js'

/** The indentation of a line, with the dashes of items if a key follows them. */
const indentation = /^[ \t]{0,64}(?:(?:-[ \t]{1,8}){1,4}(?=["']?[\w.-]{0,40}$))?/

/** What may stand between a key and its value on the lines below it: the style of a block, an anchor or a tag, a comment. */
const lineEnd =
  /:[ \t]{0,64}(?:[&!][^\s#]{0,64}[ \t]{1,64}){0,2}(?:[|>][-+\d]{0,2}[ \t]{0,64})?(?:(?<=\s)#[^\n]{0,1000})?\r?\n/y

/**
 * The end of the value of a key of YAML, if the lines below the key hold it: a map, a list or a block. `nameEnd` is the end of the key,
 * and `before` the text before it. A message may precede the key.
 */
export function yamlEnd(text: string, before: string, nameEnd: number): number | undefined {
  const below = after(text, nameEnd, lineEnd)
  if (below === nameEnd) return undefined
  const [{ length: indent } = ''] = indentation.exec(before.slice(before.lastIndexOf('\n') + 1)) ?? []
  let end: number | undefined
  for (let line = below; line < text.length; line = endOf(text, line, /\n/g) + 1) {
    const first = after(text, line, /[ \t]*/y)
    if (/[\r\n]/.test(text[first] ?? '\n')) continue
    // The items of a list may be indented as its key is.
    const isItem = first - line === indent && /^-\s/.test(text.slice(first, first + 2))
    if ((first - line <= indent && !isItem) || after(text, first, stackLine) > first) break
    end = endOf(text, first, /\r?\n/g)
  }
  return end
}
