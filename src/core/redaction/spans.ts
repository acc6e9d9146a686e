/** The span of a secret: from `start` up to `end`. */
export interface Span {
  readonly start: number
  readonly end: number
}

/** Every match of a global pattern. The caller may set its `lastIndex` in between. Searches by one pattern must not overlap. */
export function* matches(text: string, pattern: RegExp): Generator<RegExpExecArray> {
  pattern.lastIndex = 0
  for (let match = pattern.exec(text); match; match = pattern.exec(text)) yield match
}

/** The end of the word that `from` is in. */
export function wordEnd(text: string, from: number): number {
  return endOf(text, from, /\s/g)
}

/** The first match of `stop`, or the end of the text. */
export function endOf(text: string, from: number, stop: RegExp): number {
  stop.lastIndex = from
  return stop.exec(text)?.index ?? text.length
}

/** The end of a sticky pattern that matches at `at`; `at` when it does not match. */
export function after(text: string, at: number, pattern: RegExp): number {
  pattern.lastIndex = at
  return pattern.test(text) ? pattern.lastIndex : at
}
