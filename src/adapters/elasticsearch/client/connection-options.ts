import { checkOptions, checkValue, invalid, type Rule, rule } from '../../../adapter.js'
import { checkOneOption, connectionSecrets } from '../../shared/index.js'

/** The part of a client of `@elastic/elasticsearch` or `@opensearch-project/opensearch` that headgate calls. */
export interface SearchClient {
  readonly transport: {
    /** Sends a request. */
    request(
      params: {
        method: string
        path: string
        querystring?: Record<string, string>
        body?: string
        bulkBody?: string | Buffer
      },
      options?: object,
    ): PromiseLike<unknown>
  }
}

/** How a request says who sends it. */
export type SearchAuth =
  | { readonly username: string; readonly password: string }
  | { readonly apiKey: string }
  | { readonly bearer: string }

/** Options of TLS, as Node takes them. */
export interface SearchTls {
  /** The certificates to trust, in PEM. Default: those of Node. */
  readonly ca?: string | Uint8Array | readonly (string | Uint8Array)[]
  /** The certificate of this client, in PEM. */
  readonly cert?: string | Uint8Array
  /** The key of that certificate, in PEM. */
  readonly key?: string | Uint8Array
  /** The password of the key. */
  readonly passphrase?: string
  /** Whether to refuse a server with a certificate that is not trusted. Default `true`. */
  readonly rejectUnauthorized?: boolean
}

/** How to reach a server. */
export interface ConnectionOptions {
  /** The address of the server, such as `https://search.example.com:9200`. It may have a user, a password and a path. */
  node?: string
  /** A client of `@elastic/elasticsearch` or `@opensearch-project/opensearch`, instead of `node`. It stays open. */
  client?: SearchClient
  /** The user and password, an API key or a token, for `node`. Default: what its address has. */
  auth?: SearchAuth
  /** Other headers of every request, for `node`. */
  headers?: Readonly<Record<string, string>>
  /** Options of TLS, for `node` with `https:`. */
  tls?: SearchTls
  /** Whether documents are sent compressed by gzip, for `node`. Default `false`. */
  compression?: boolean
  /** How long a request may take, in milliseconds. Default 60,000, or that of the client. */
  timeout?: number
}

const nodeRule: Rule = {
  accepts: (value) => typeof value === 'string' && /^https?:\/\//.test(value) && URL.canParse(value),
  expected: 'an address that begins with `http://` or `https://`',
}

const clientRule: Rule = {
  accepts: (value) => typeof Object(Object(value).transport).request === 'function',
  expected: 'a client with `transport.request`',
}

const authRule: Rule = {
  accepts(value) {
    const { username, password, apiKey, bearer, ...others } = Object(value) as Record<string, unknown>
    const given = [username, password, apiKey, bearer].filter((part) => part !== undefined)
    const isLogin = typeof username === 'string' && typeof password === 'string' && given.length === 2
    return (
      Object.keys(others).length === 0 && (isLogin || (given.length === 1 && [apiKey, bearer].some(rule.text.accepts)))
    )
  },
  expected: 'an object with `username` and `password`, with `apiKey` or with `bearer`',
}

const headersRule: Rule = {
  accepts: (value) =>
    rule.anObject.accepts(value) && Object.values(value as object).every((text) => typeof text === 'string'),
  expected: 'an object of texts',
}

/** The rules of the options of a connection. */
export const connectionRules = {
  node: rule.optional(nodeRule),
  client: rule.optional(clientRule),
  auth: rule.optional(authRule),
  headers: rule.optional(headersRule),
  tls: rule.optional(rule.anObject),
  compression: rule.optional(rule.flag),
  timeout: rule.optional(rule.milliseconds(1, 2 ** 31 - 1)),
}

/** Throws `invalid_options` unless the options of a connection fit together. */
export function checkConnection(options: ConnectionOptions): void {
  const { client, tls } = options
  checkOneOption(options, ['node', 'client'])
  for (const name of ['auth', 'headers', 'tls', 'compression'] as const) {
    if (client && options[name] !== undefined)
      throw invalid(name, 'absent with `client`, which has its own', options[name])
  }
  if (!tls) return
  checkOptions(
    'tls',
    tls,
    Object.fromEntries(['ca', 'cert', 'key', 'passphrase', 'rejectUnauthorized'].map((name) => [name, anything])),
    'tls.',
  )
  checkValue('tls.rejectUnauthorized', tls.rejectUnauthorized, rule.optional(rule.flag))
}

const anything: Rule = { accepts: () => true, expected: 'anything', optional: true }

/** What must appear in no message. */
export function secretsOf({ node, auth, headers, tls }: ConnectionOptions): readonly string[] {
  const { username, password, apiKey, bearer } = { ...auth } as Record<string, string | undefined>
  const login = password === undefined ? undefined : Buffer.from(`${username}:${password}`).toString('base64')
  const texts = [password, login, apiKey, bearer, ...Object.values(headers ?? {})].filter((text) => text !== undefined)
  return [...connectionSecrets(node, { tls }), ...texts]
}
