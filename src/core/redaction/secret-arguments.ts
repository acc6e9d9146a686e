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
  '(?<![^\\s"\'`[(,])(?:-[fgijklnqsvGILNORS]{0,8}[uU]|--(?:proxy-)?user)[\\s=]{0,4}(?:["\']?\\s{0,4},\\s{0,4})?["\']?[\\w.%@+\\\\-]{1,64}:(?!\\s)'

const separated = '(?:\\s{1,4}|\\\\{0,7}["\']\\s{0,4},\\s{0,4}\\\\{0,7}["\'])'
const argument = '[^\\s"\'\\\\,-][^\\s"\'\\\\,]{0,63}'
/** `-u name -p password`, and `"-ppassword"` in a list. Ports are no passwords. */
const userAndPassword = `(?<![^\\s"'\`[(,])-[uU](?:${separated}|=)${argument}(?:${separated}--?[\\w-]{1,32}(?:(?:${separated}|=)${argument})?){0,6}?(?:${separated}-[pP]${separated}|\\\\{0,7}["']\\s{0,4},\\s{0,4}\\\\{0,7}["']-p)(?!(?:[\\d.]{1,15}:){0,2}\\d{1,5}(?![^\\s"'\\\\/:-]))(?=[^\\s"'\\\\-])`

/** The commands of protocols, such as Redis and FTP. Words of prose have no digits. */
const command =
  '(?<![^\\s"\'`>])(?:AUTH|PASS)["\']?[ \\t](?:["\']?\\w{1,64}["\']?[ \\t])?["\']?(?![^\\s"\'/]{1,512}\\.\\w{1,4}(?:\\s|$))(?=[^\\s"\'/]{0,64}\\d)(?=[^\\s"\'/]{0,64}[a-z])(?=[^\\s"\'/]{1,512}["\']?(?:\\r?\\n|$))'

const flag = new RegExp([user, userAndPassword, command, ...flagsOfCommands].join('|'), 'g')

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
