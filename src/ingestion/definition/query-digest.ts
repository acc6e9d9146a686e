/** A short hash of a query, which is the same however its words are spaced. It finds changes, and hides nothing. */
export function queryDigest(text: string): string {
  const words = text.trim().replace(/\s+/g, ' ')
  let [one, other] = [0xdeadbeef, 0x41c6ce57]
  for (let index = 0; index < words.length; index++) {
    const unit = words.charCodeAt(index)
    one = Math.imul(one ^ unit, 0x9e3779b1)
    other = Math.imul(other ^ unit, 0x5f356495)
  }
  return [one ^ (other >>> 15), other ^ (one >>> 13)].map((half) => (half >>> 0).toString(36).padStart(7, '0')).join('')
}
