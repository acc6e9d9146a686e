import { invalid } from '../../adapter.js'

/** The parts of a request that show its origin. */
interface Origins {
  method: string
  headers: { get(name: string): string | null }
}

/** Methods that change nothing, which every site may use. */
const safeMethods = ['GET', 'HEAD', 'OPTIONS']

/**
 * Returns why a call that may come from a page of another site is refused, or `undefined` when it is allowed.
 * Browsers send `Sec-Fetch-Site`. Old browsers, and browsers on plain HTTP, send only `Origin`, which is compared
 * with `Host`. A client that sends neither is not a browser.
 */
export function crossSiteReason({ method, headers }: Origins, allowed: readonly string[]): string | undefined {
  if (safeMethods.includes(method)) return undefined
  const site = headers.get('sec-fetch-site')
  if (site === 'same-origin' || site === 'none') return undefined
  const origin = headers.get('origin')
  if (origin === null && site === null) return undefined
  if (origin !== null && (allowed.includes(origin) || (site === null && isOf(origin, headers.get('host'))))) {
    return undefined
  }
  return invalid('origin', 'that of this server, or one of `allowedOrigins`', origin ?? undefined).message
}

/**
 * Returns why a call with an unknown `Host` is refused, or `undefined` when it is allowed. A page of another site may
 * have pointed its own name at this server.
 */
export function hostReason({ headers }: Pick<Origins, 'headers'>, allowed: readonly string[]): string | undefined {
  const host = headers.get('host')?.toLowerCase()
  if (host !== undefined && allowed.some((name) => isNamed(host, name.toLowerCase()))) return undefined
  return invalid('host', 'one of `allowedHosts`', host).message
}

/** Whether a `Host` matches a name. A name without a port matches every port. */
function isNamed(host: string, name: string): boolean {
  return host === name || (host.startsWith(`${name}:`) && /^\d*$/.test(host.slice(name.length + 1)))
}

/** Whether a value is a host name or an address, IPv6 in brackets, with or without a port. */
export function isHostName(value: unknown): boolean {
  return typeof value === 'string' && /^(\[[\da-f:.]+\]|[\w.-]+)(:\d{1,5})?$/i.test(value)
}

/** Whether an origin has this host. The scheme is ignored, because a proxy may have ended TLS. */
function isOf(origin: string, host: string | null): boolean {
  // HTTP/1.0 has no `Host`, which matches no page.
  if (host === null) return false
  const scheme = /^https?:\/\//.exec(origin)?.[0]
  const own = `${scheme}${host}`
  return scheme !== undefined && URL.canParse(origin) && URL.canParse(own) && new URL(own).host === new URL(origin).host
}
