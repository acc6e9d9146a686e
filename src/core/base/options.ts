import { checkOptionsBriefly, type Rule } from './validation.js'

/**
 * Throws `invalid_options` unless all values match their rules and all names are known. `prefix` goes before the names. The error for an
 * unknown name says which one was probably meant.
 */
export function checkOptions(where: string, options: unknown, rules: Record<string, Rule>, prefix = ''): void {
  checkOptionsBriefly(where, options, rules, prefix, hintFor)
}

/** Says which of the known names was probably meant. Empty when none was. */
export function hintFor(name: string, known: readonly string[]): string {
  const meant = similarName(name, known)
  return meant === undefined ? '' : `. Did you mean \`${meant}\`?`
}

/** The most letters that differ between a name and what was meant. */
const maxDifference = 2

/** The name that was probably meant: the closest of those that differ in few letters, in one place. `undefined` when none does. */
function similarName(name: string, names: readonly string[]): string | undefined {
  let best: string | undefined
  let least = Math.min(maxDifference, name.length / 3)
  for (const other of names) {
    const difference = differenceOf(name.toLowerCase(), other.toLowerCase())
    if (difference > least || (difference === least && best !== undefined)) continue
    best = other
    least = difference
  }
  return best
}

/** The length of the longer text between the common beginning and the common end. */
function differenceOf(one: string, other: string): number {
  const shorter = Math.min(one.length, other.length)
  let start = 0
  while (start < shorter && one[start] === other[start]) start++
  let end = 0
  while (end < shorter - start && one.at(-1 - end) === other.at(-1 - end)) end++
  return Math.max(one.length, other.length) - start - end
}
