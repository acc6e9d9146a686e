/** The longest body of a request, in bytes. Parameters have up to 10,000 characters, so they always fit. */
export const maxBody = 65_536

/** Whether the headers of a request tell that its body is too long. */
export function isDeclaredTooLong({ headers }: { headers: { get(name: string): string | null } }): boolean {
  return Number(headers.get('content-length') ?? 0) > maxBody
}

/**
 * Whether a body is too long: its bytes, or the JSON of what a parser has made of them. Takes time in proportion to the
 * limit, whatever the size of the value. Throws for a value that is not JSON.
 */
export function isTooLong(received: unknown): boolean {
  if (received instanceof Uint8Array) return received.byteLength > maxBody
  const text = typeof received === 'string' ? received : jsonWithin(received, maxBody)
  return text === undefined || text.length > maxBody || encoder.encode(text).byteLength > maxBody
}

const encoder = new TextEncoder()

class TooLong extends RangeError {}

/** The JSON of a value, or `undefined` when it certainly has more than `limit` characters. */
function jsonWithin(value: unknown, limit: number): string | undefined {
  let left = limit
  const count = function (this: unknown, name: string, inner: unknown) {
    left -= 1 + (Array.isArray(this) ? 0 : name.length) + (typeof inner === 'string' ? inner.length : 0)
    // Serializing its indexes would take as long as all of its bytes.
    if (left < 0 || (ArrayBuffer.isView(inner) && inner.byteLength > left)) throw new TooLong()
    return inner
  }
  try {
    return JSON.stringify(value, count) ?? ''
  } catch (error) {
    if (error instanceof TooLong) return undefined
    throw error
  }
}
