/** The properties of a pool, a client or their options that hold a secret, and those that hold more options. */
const secretNames = [
  ...['password', 'password1', 'password2', 'password3', 'passwordSha1', 'sslpassword', 'sentinelPassword'],
  ...['passphrase', 'accessToken', 'token'],
]
const nestedNames = [
  ...['options', 'config', 'connectionConfig', 'redisOptions', 'ssl', 'tls', 'credentials'],
  ...['connectionString', 'url', 'uri'],
]

/** How many objects may be nested in others. */
const maxDepth = 4

/** Parameters of a URL that hold a secret. */
const secretParameter = /pass(?:word|phrase|wd)?|secret|token|key$/i

const scheme = /^[a-z][\w+.-]*:\/\//i

/**
 * The secrets of a connection, for `secrets` of an adapter: the passwords of URLs, of pools and clients, and of their options, as they are
 * and decoded. Errors of servers and drivers may repeat them in any form.
 */
export function connectionSecrets(...sources: readonly unknown[]): readonly string[] {
  return [...new Set(sources.flatMap((source) => secretsIn(source, 0)))]
}

function secretsIn(source: unknown, depth: number): string[] {
  if (typeof source === 'string') return secretsOfUrl(source)
  if (typeof source !== 'object' || source === null || depth > maxDepth) return []
  const own = secretNames.map((name) => propertyOf(source, name)).filter((value) => typeof value === 'string')
  const nested = nestedNames.flatMap((name) => secretsIn(propertyOf(source, name), depth + 1))
  return [...own, ...nested]
}

function secretsOfUrl(text: string): string[] {
  const given = passwordsOf(text)
  const parameters = new URLSearchParams(text.includes('?') ? text.slice(text.lastIndexOf('?') + 1) : '')
  const named = [...parameters].filter(([name]) => secretParameter.test(name)).map(([, value]) => value)
  return [...given, ...given.map(decoded), ...named]
}

/** What may be the password before the host: it may have signs that should be encoded, as some drivers accept them. */
function passwordsOf(url: string): string[] {
  const rest = url.slice(scheme.exec(url)?.[0].length ?? url.length)
  const first = rest.indexOf('@')
  const colon = rest.indexOf(':')
  if (first < 0 || colon < 0 || colon > first) return []
  const host = rest.slice(first).search(/[/?#]/)
  const last = host < 0 ? rest.lastIndexOf('@') : rest.lastIndexOf('@', first + host)
  return [rest.slice(colon + 1, first), rest.slice(colon + 1, last)]
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** A property, if it can be read. */
function propertyOf(source: object, name: string): unknown {
  try {
    return (source as Readonly<Record<string, unknown>>)[name]
  } catch {
    return undefined
  }
}
