import { invalid } from '../index.js'

/** What tells where a call comes from. */
interface Origins {
  method: string
  headers: { get(name: string): string | null }
}

/** Methods that change nothing, which a page of any site may make a browser send. */
const safeMethods = ['GET', 'HEAD', 'OPTIONS']

/**
 * Why a call is refused that a page of another site may have made a browser send; `undefined` when it may go on. Browsers
 * say by `Sec-Fetch-Site` where a call comes from, and old ones, or those on plain HTTP, by `Origin` alone, which is then
 * held against `Host`. Whoever sends neither is no browser.
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
 * Why a call is refused whose `Host` is none of those that the server goes by, as when a page of another site has made its
 * own name lead to the address of this server; `undefined` when it may go on.
 */
export function hostReason({ headers }: Pick<Origins, 'headers'>, allowed: readonly string[]): string | undefined {
  const host = headers.get('host')?.toLowerCase()
  if (host !== undefined && allowed.some((name) => isNamed(host, name.toLowerCase()))) return undefined
  return invalid('host', 'one of `allowedHosts`', host).message
}

/** Whether a `Host` has a name: one without a port stands for all ports. */
function isNamed(host: string, name: string): boolean {
  return host === name || (host.startsWith(`${name}:`) && /^\d*$/.test(host.slice(name.length + 1)))
}

/** Whether an option is such a name: that of a host, or an address, IPv6 in brackets, with a port or without. */
export function isHostName(value: unknown): boolean {
  return typeof value === 'string' && /^(\[[\da-f:.]+\]|[\w.-]+)(:\d{1,5})?$/i.test(value)
}

/** Whether an origin is that of a host. The scheme is not looked at: a proxy may have ended TLS. */
function isOf(origin: string, host: string | null): boolean {
  // HTTP/1.0 has no `Host`, which is the host of no page.
  if (host === null) return false
  const scheme = /^https?:\/\//.exec(origin)?.[0]
  const own = `${scheme}${host}`
  return scheme !== undefined && URL.canParse(origin) && URL.canParse(own) && new URL(own).host === new URL(origin).host
}
