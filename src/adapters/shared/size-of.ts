/**
 * Estimates the size of a record in bytes. The estimate must not be far too low. It is linear in the content, at any
 * depth, and handles circular references.
 */
export function sizeOf(record: object): number {
  const seen = new Set<object>([record])
  const pending: object[] = [record]
  let size = 0
  for (let holder = pending.pop(); holder; holder = pending.pop()) {
    for (const value of valuesOf(holder)) {
      if (typeof value === 'string') size += value.length
      else if (typeof value !== 'object') size += sizeOfOther
      else if (ArrayBuffer.isView(value)) size += value.byteLength
      else if (value !== null && !seen.has(value)) {
        size += sizeOfOther
        seen.add(value)
        pending.push(value)
      }
    }
  }
  return size
}

/** The estimated size of a number, a date and the like. */
const sizeOfOther = 8

/** Values that cannot be read count nothing here; the writer fails on them. */
function valuesOf(holder: object): unknown[] {
  try {
    return Object.values(holder)
  } catch {
    return []
  }
}
