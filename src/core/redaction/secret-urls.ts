import { after, endOf, matches, type Span, wordEnd } from './spans.js'

/** The separator between the scheme of a URL and its user, also as JSON may escape it. */
const separator = /:(?:\\{0,4}\/|\\{1,4}u002f){2}/gi

/** Schemes for which a user alone is a secret. */
const keySchemes = /(?:rediss?|valkeys?|https?)$/i

const isWeb = /https?$/i

/** A port, and the path of a package with its scope or its version: `:443/@scope/name`, `:443/name@1.0.0`. */
const portAndPath =
  /:\d{1,5}\/(?:[^@\s]{0,256}\/)?(?:@[\w.-]{1,128}(?:\/|%2f)|[\w.-]{1,128}@\d{1,6}(?:\.\d{1,6}){0,2}(?![\w.:-]))/iy

/** How far after the end of a word to search for a password with spaces. */
const spacedPassword = 256

/** Passwords in URLs, encoded URLs, and addresses that have no scheme. */
export function* urlSecrets(text: string, isCut: boolean): Generator<Span> {
  yield* plainUrls(text, isCut)
  yield* encodedUrls(text)
  yield* addresses(text)
  yield* brokenUrls(text)
}

/** Passwords of URLs, up to the last `@` of the word: a password may have any character, encoded or not. */
function* plainUrls(text: string, isCut: boolean): Generator<Span> {
  let word = { end: 0, at: -1 }
  for (const { 0: found, index: colon } of matches(text, separator)) {
    const user = colon + found.length
    if (user >= word.end) {
      const end = wordEnd(text, user)
      word = { end, at: user + text.slice(user, end).lastIndexOf('@') }
    }
    const userEnd = endOf(text, user, /[:/@?#\s]|%3a/gi)
    if (text[userEnd] === '@' && keySchemes.test(text.slice(Math.max(0, colon - 8), colon))) {
      yield { start: user, end: userEnd }
    }
    if (text[userEnd] !== ':' && text[userEnd] !== '%') continue
    if (isWeb.test(text.slice(Math.max(0, colon - 8), colon)) && isPort(text, user, userEnd)) continue
    const start = userEnd + (text[userEnd] === ':' ? 1 : 3)
    const end =
      word.at > userEnd ? word.at : isCut && word.end === text.length ? text.length : spacedEnd(text, start, word.end)
    if (end === undefined) continue
    yield { start, end }
    separator.lastIndex = Math.max(end, user)
  }
}

/** Whether what follows a name is a port. That of a host with a domain is one before any path, as a password would have its slash encoded. */
function isPort(text: string, host: number, hostEnd: number): boolean {
  if (after(text, hostEnd, portAndPath) > hostEnd) return true
  return text.slice(host, hostEnd).includes('.') && after(text, hostEnd, /:\d{2,5}\//y) > hostEnd
}

/** A password that goes on in the next line, as one that was read from a file with its line end does. */
const nextLine = /[^\n@]{0,256}\n\s{0,8}[^\s@]{0,256}(?=@[\w.[-])/y

/** The end of a password with spaces, which some drivers accept: no port, and an `@` on the same line, or in the first word of the next. */
function spacedEnd(text: string, start: number, end: number): number | undefined {
  if (after(text, start, /\d{0,5}(?=[\s/?#"'),.;\]}>\\]|$)/y) > start) return undefined
  const [line = ''] = text.slice(end, end + spacedPassword).split('\n', 1)
  const at = line.indexOf('@')
  if (at > 0) return end + at
  const next = after(text, end, nextLine)
  return next > end ? next : undefined
}

/** A URL that is a parameter of another, encoded once or twice, up to its password. */
const encodedUrl = /%(?:25)?3a(?:%(?:25)?2f){2}[\w.~-]{0,64}%(?:25)?3a/gi

function* encodedUrls(text: string): Generator<Span> {
  for (const { 0: found, index } of matches(text, encodedUrl)) {
    const start = index + found.length
    const end = endOf(text, start, /[\s&"'<>]/g)
    const at = Math.max(text.slice(start, end).lastIndexOf('%40'), text.slice(start, end).lastIndexOf('%2540'))
    if (at > 0) yield { start, end: start + at }
    encodedUrl.lastIndex = end
  }
}

/** `user:password@host/` and `user:password@host:port`, and the same of Go: `user:password@tcp(host)`. */
const address =
  /(?<![\w.%+-])[\w.%+-]{1,64}:(?=([^\s@/:"'<>]{1,128})@(?:(?:tcp|udp|unix)\(|[\w.-]{1,128}(?::\d{2,5}(?!\d)|\/)))/gi

function* addresses(text: string): Generator<Span> {
  for (const { 0: before, 1: password = '', index } of matches(text, address)) {
    const start = index + before.length
    if (!/^mailto:$/i.test(before)) yield { start, end: start + password.length }
  }
}

/** `//user:password@` without a scheme before it, or with one that lacks its colon, as parsers quote what is no URL. */
const brokenUrl = /(?<![:/\\\w])(?:[a-z][a-z\d+.-]{0,32})?\/\/[\w.%+~-]{0,64}:(?=([^\s@/"'<>]{1,128})@)/gi

function* brokenUrls(text: string): Generator<Span> {
  for (const { 0: before, 1: password = '', index } of matches(text, brokenUrl)) {
    const start = index + before.length
    yield { start, end: start + password.length }
  }
}
