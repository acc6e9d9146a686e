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

/** Whether an origin is that of a host. The scheme is not looked at: a proxy may have ended TLS. */
function isOf(origin: string, host: string | null): boolean {
  const scheme = /^https?:\/\//.exec(origin)?.[0]
  const own = `${scheme}${host}`
  return scheme !== undefined && URL.canParse(origin) && URL.canParse(own) && new URL(own).host === new URL(origin).host
}
