import { createHash } from 'node:crypto'

/** A hash of a text, for where the text is too long or is no name. */
export function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

/** Tells what a job has made beside a target from what others have: the start of its digest, eight letters and digits. */
export function markOf(digest: Buffer): string {
  return digest.toString('hex', 0, 4)
}
