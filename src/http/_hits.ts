import type { JobStatus } from '../index.js'
import type { TextStream } from './_stream.js'

/** The headers of every answer in JSON. */
export const jsonHeaders = {
  'content-type': 'application/json; charset=utf-8',
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
}

/** A list of an answer that is too long to be made at once. */
export interface HitsStream {
  total: number
  /** The list, piece by piece. */
  pieces: AsyncIterator<readonly JobStatus[]> | Iterator<readonly JobStatus[]>
  /** What one item of it is on the wire. */
  toHit(status: JobStatus): object
  onEnd: NonNullable<TextStream['onEnd']>
}

/** The text of an answer that lists `hits`, made as the client takes it: what `JSON.stringify` makes of the whole. */
export function hitsText({ total, pieces, toHit, onEnd }: HitsStream, indent: number): TextStream {
  const lines = (depth: number) => (indent > 0 ? `\n${' '.repeat(depth * indent)}` : '')
  const colon = indent > 0 ? ': ' : ':'
  const print = (status: JobStatus) => JSON.stringify(toHit(status), undefined, indent).replaceAll('\n', lines(3))
  async function* text(): AsyncGenerator<string, undefined> {
    const hits = `{${lines(1)}"hits"${colon}{${lines(2)}"total"${colon}${total},${lines(2)}"hits"${colon}[${lines(3)}`
    let before = hits
    for (let piece = await pieces.next(); !piece.done; piece = await pieces.next()) {
      if (piece.value.length === 0) continue
      yield before + piece.value.map(print).join(`,${lines(3)}`)
      before = `,${lines(3)}`
    }
    yield `${lines(2)}]${lines(1)}}${lines(0)}}`
  }
  return Object.assign(text(), { onEnd })
}
