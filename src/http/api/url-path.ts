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
