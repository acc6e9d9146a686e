/** Maximum nesting of an answer. That of a page of the log is seven. */
const maxDepth = 32

/**
 * How many arrays and objects an answer may have: some, and one for so many characters. A status has more than a hundred. The server
 * leaves out what would be more in a detail.
 */
const containers = { some: 100, characters: 32, charactersOfDetail: 8 }

/**
 * Parses JSON of a server. Throws for text that is nested deeper, or has more arrays and objects, than an answer of headgate: parsing a
 * million of them would block the event loop for a second.
 */
export function parseJson(text: string, hasDetail = false): unknown {
  if (!isFlat(text, hasDetail ? containers.charactersOfDetail : containers.characters))
    throw new SyntaxError('The JSON has too many arrays or objects.')
  return JSON.parse(text)
}

function isFlat(text: string, characters: number): boolean {
  let left = containers.some + text.length / characters
  let depth = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === 0x22) at = stringEnd(text, at)
    else if (code === 0x5b || code === 0x7b) {
      depth++
      left--
      if (depth > maxDepth || left < 0) return false
    } else if (code === 0x5d || code === 0x7d) depth--
  }
  return true
}

/** The closing quote of a string, or the end of the text. */
function stringEnd(text: string, opening: number): number {
  for (let at = text.indexOf('"', opening + 1); at >= 0; at = text.indexOf('"', at + 1)) {
    let slashes = 0
    while (text.charCodeAt(at - 1 - slashes) === 0x5c) slashes++
    if (slashes % 2 === 0) return at
  }
  return text.length
}
