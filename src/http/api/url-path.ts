/** The scheme and the host of an absolute URL. */
const origin = /^https?:\/\/(?:\[[\da-f:.]+\]|[\w.~-]+)(?::\d{1,5})?(?=[/?]|$)/i

/** A path that no call has. */
export const noPath = '*'

/**
 * The URL of a request from its path on: HTTP/1 allows absolute ones. An absolute URL with an odd or invalid host, which no client
 * sends, has the path of no call, because guards of the host may read its path differently.
 */
export function fromPath(url: string): string {
  if (url.startsWith('/')) return url
  const host = URL.canParse(url) && origin.exec(url)?.[0]
  return typeof host === 'string' ? url.slice(host.length) : noPath
}

/**
 * Splits a URL, which may be absolute, into its raw path and its query. A URL with a `#` in its path, which no client sends, has no
 * path, because guards of the host may read the `#` as a part of the path.
 */
export function splitUrl(url: string): { path: string; search: string | undefined } {
  const [, path = noPath, search] = /^([^?#]*)(?:\?([^#]*)(?:#.*)?)?$/s.exec(fromPath(url)) ?? []
  return { path, search }
}
