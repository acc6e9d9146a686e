/** The properties of a pool, a client or their options that hold a secret, and those that hold more options. */
const secretNames = [
  ...['password', 'password1', 'password2', 'password3', 'passwordSha1', 'sslpassword', 'sentinelPassword'],
  ...['passphrase', 'accessToken', 'token'],
]
const nestedNames = [
  ...['options', 'config', 'connectionConfig', 'redisOptions', 'ssl', 'tls', 'credentials'],
  ...['connectionString', 'url', 'uri'],
]

/** How many passwords of a function are kept: tokens that rotate must not add up. */
const maxResolved = 16

/** The property of a watched function with those who are told what it resolves to. */
const resolved = Symbol('resolved')

/** A function of a driver that resolves to a password. */
type PasswordFunction = ((...given: unknown[]) => unknown) & { [resolved]?: Set<(password: string) => void> }

/** How many objects may be nested in others. */
const maxDepth = 4

/** Parameters of a URL that hold a secret. */
const secretParameter = /pass(?:word|phrase|wd)?|secret|token|key$/i

const scheme = /^[a-z][\w+.-]*:\/\//i

/**
 * The secrets of a connection, for `secrets` of an adapter: the passwords of URLs, of pools and clients, and of their options, as they are
 * and decoded. Errors of servers and drivers may repeat them in any form. When the password is a function, as pools of pg accept it, the
 * list changes with what the function resolves to.
 */
export function connectionSecrets(...sources: readonly unknown[]): readonly string[] {
  const last: string[] = []
  const note = (password: string) => {
    if (last.includes(password)) return
    last.push(password)
    if (last.length > maxResolved) last.shift()
    secrets.splice(0, secrets.length, ...given, ...last)
  }
  const given = [...new Set(sources.flatMap((source) => secretsIn(source, 0, note)))]
  const secrets = [...given]
  return secrets
}

function secretsIn(source: unknown, depth: number, note: (password: string) => void): string[] {
  if (typeof source === 'string') return secretsOfUrl(source)
  if (typeof source !== 'object' || source === null || depth > maxDepth) return []
  watchPassword(source, note)
  const own = secretNames.map((name) => propertyOf(source, name)).filter((value) => typeof value === 'string')
  const nested = nestedNames.flatMap((name) => secretsIn(propertyOf(source, name), depth + 1, note))
  return [...own, ...nested]
}

/** Notes what a function for the password resolves to, before the driver sends it. Adapters of one pool share the watched function. */
function watchPassword(source: object, note: (password: string) => void): void {
  const password = propertyOf(source, 'password') as PasswordFunction
  if (typeof password !== 'function') return
  if (password[resolved]) {
    password[resolved].add(note)
    return
  }
  const notes = new Set([note])
  const watched: PasswordFunction = async function (this: unknown, ...given) {
    const answer = await password.apply(this, given)
    if (typeof answer === 'string') for (const each of notes) each(answer)
    return answer
  }
  watched[resolved] = notes
  // A frozen object keeps its function.
  Reflect.set(source, 'password', watched)
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
