import { createHash } from 'node:crypto'

/** A hash of a text, for uses where the text is too long or is not a valid name. */
export function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

/**
 * The mark of a job in the names of its temporary files and tables: the start of its digest, eight letters and
 * digits.
 */
export function markOf(digest: Buffer): string {
  return digest.toString('hex', 0, 4)
}
