import { endOf, matches, type Span } from './spans.js'

/** What may separate a flag from its value: nothing, spaces, or the quotes of a list of arguments. */
const spaced = '(?:["\']\\s{0,4},\\s{0,4}|\\s{1,4})(?:\\\\{0,7}["\'])?(?=[^\\s"\'\\\\-])'
const attached = '(?:\\\\{0,7}["\'])?(?=[^\\s"\',)\\]\\\\-])'
/** The arguments between a command and its flag. */
const others = '(?:["\'][\\s,]{0,4})?[^\\n;|&]{0,200}?[\\s"\'(,]'

/** Commands, and their flags for a password that have a short name. */
const flagsOfCommands = [
  `(?:(?:mysql|mariadb)[\\w-]{0,16}|7z[ar]?)${others}-p(?!(?:ort|ath|rotocol)\\b)${attached}`,
  ...[
    '(?:sshpass|mongo[a-z]{0,10}|cqlsh|docker\\s{1,4}login)%-p',
    '(?:sqlcmd|bcp|zip|unzip)%-P',
    'redis-cli%-a',
    'ldap[a-z]{3,8}%-w',
  ].map((form) => `${form.replace('%', () => others)}(?:${spaced}|${attached})`),
].map((form) => `\\b${form}`)

/** `--user name:password` of curl. */
const user =
  '(?<![^\\s"\'`[(,])(?:-[uU]|--(?:proxy-)?user)[\\s=]{0,4}(?:["\']?\\s{0,4},\\s{0,4})?["\']?[\\w.%@+\\\\-]{1,64}:(?!\\s)'

const flag = new RegExp([user, ...flagsOfCommands].join('|'), 'g')

/** Passwords in the arguments of commands whose flags do not name them. */
export function* argumentSecrets(text: string): Generator<Span> {
  for (const { 0: found, index } of matches(text, flag)) {
    const start = index + found.length
    const [, quote = ''] = /(["'])[^"'\s]*$/.exec(found.slice(-80)) ?? []
    const end = endOf(text, start, quote === '"' ? /"/g : quote === "'" ? /'/g : /[\s"']/g)
    yield { start, end }
    flag.lastIndex = Math.max(end, flag.lastIndex)
  }
}
