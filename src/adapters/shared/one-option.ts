import { JobError } from '../../adapter.js'

/** Throws `invalid_options` unless exactly one of the options is there. A variable of the environment that is not set gives none. */
export function checkOneOption(options: object, names: readonly string[]): void {
  const values = options as Readonly<Record<string, unknown>>
  const given = names.filter((name) => values[name] !== undefined)
  if (given.length === 1) return
  const unset = names.filter((name) => name in values)
  const none = unset.length > 0 ? `${listOf(unset, 'and')} undefined` : names.length === 2 ? 'neither' : 'none'
  const found = given.length > 0 ? `both ${listOf(given, 'and')}` : none
  const expected = names.length === 2 ? `either ${listOf(names, 'or')}` : `one of ${listOf(names, 'and')}`
  throw new JobError('invalid_options', `Expected \`options\` to be an object with ${expected}, got ${found}`)
}

function listOf(names: readonly string[], word: string): string {
  const quoted = names.map((name) => `\`${name}\``)
  return [quoted.slice(0, -1).join(', '), quoted.at(-1)].filter(Boolean).join(` ${word} `)
}
