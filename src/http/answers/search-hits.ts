import type { TextStream } from './text-stream.js'

/** The headers of every JSON answer. */
export const jsonHeaders = {
  'content-type': 'application/json; charset=utf-8',
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
}

/** A list that is too long to serialize at once. */
export interface HitsStream<Item> {
  total: number
  /** The items, in pieces. */
  pieces: AsyncIterator<readonly Item[]> | Iterator<readonly Item[]>
  /** Converts an item to its wire form. */
  toHit(item: Item): object
  onEnd: NonNullable<TextStream['onEnd']>
}

/**
 * The text of an answer with a list of `hits`, created as the client reads it. Equals the `JSON.stringify` of the
 * whole answer.
 */
export function hitsText<Item>({ total, pieces, toHit, onEnd }: HitsStream<Item>, indent: number): TextStream {
  const lines = (depth: number) => (indent > 0 ? `\n${' '.repeat(depth * indent)}` : '')
  const colon = indent > 0 ? ': ' : ':'
  const print = (item: Item) => JSON.stringify(toHit(item), undefined, indent).replaceAll('\n', lines(3))
  async function* text(): AsyncGenerator<string, undefined> {
    const hits = `{${lines(1)}"hits"${colon}{${lines(2)}"total"${colon}${total},${lines(2)}"hits"${colon}[${lines(3)}`
    let lead = hits
    for (let piece = await pieces.next(); !piece.done; piece = await pieces.next()) {
      if (piece.value.length === 0) continue
      yield lead + piece.value.map(print).join(`,${lines(3)}`)
      lead = `,${lines(3)}`
    }
    yield `${lines(2)}]${lines(1)}}${lines(0)}}`
  }
  return Object.assign(text(), { onEnd })
}
