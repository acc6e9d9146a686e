import { after, matches, type Span } from './spans.js'
import { quote, valueEnd } from './value-end.js'

/** How far around the name of a field to look for what a validator was given there. */
const nearby = 400
/** `received "…" at "password"`, `→ at password`, `"path":["password"]`, `"property":"password"`, `for key 'users.password'`. */
const pathBefore = new RegExp(
  `(?:\\b(?:at(?: path)?|for (?:key|column)) (?:${quote})?[\\w.\`[\\]]{0,64}|\\b(?:path|property|field|param|key|name|column|loc)(?:${quote})?\\s{0,4}:\\s{0,4}(?:\\[[^\\]{}]{0,80}|${quote}[\\w.[\\]/-]{0,64}))$`,
)
/** What a validator was given, and the place where the next field or its object begins. */
const givenOrBoundary = new RegExp(
  `(?<given>\\b(?:received|got|given|value|entry|input)(?:${quote})?(?:\\s{1,4}|[:=]\\s{0,4})(?=${quote}|[[{\\d]))|\\}\\s{0,8},\\s{0,8}\\{|; |\u2716|\\bat (?:path )?${quote}[\\w.[\\]]{1,64}`,
  'gi',
)
/** The type of what was given. */
const type = new RegExp(
  `${quote}(?:undefined|null|nan|string|number|boolean|object|array|date|function|symbol|bigint)(?=${quote})`,
  'iy',
)

/** What a validator was given, in a message that names the field behind or before it. */
export function* givenNear(text: string, index: number): Generator<Span> {
  const before = text.slice(Math.max(0, index - 160), index)
  const path = pathBefore.exec(before)
  if (!path) return
  const from = Math.max(0, index - nearby)
  const window = text.slice(from, index + nearby)
  const pathAt = index - from - path[0].length
  let found: Span[] = []
  for (const { 0: matched, index: at, groups } of matches(window, givenOrBoundary)) {
    const start = at + matched.length
    if (groups?.given !== undefined) {
      const number = after(window, start, /\d[\w.]*/y)
      const end = number > start ? number : valueEnd(window, start, '')
      if (after(window, start, type) === start) found.push({ start: from + start, end: from + end })
      givenOrBoundary.lastIndex = end
    } else if (start < pathAt) found = []
    else if (at > index - from) break
  }
  yield* found
}
