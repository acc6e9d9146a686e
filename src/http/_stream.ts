/**
 * The text of an answer that has no end in sight. A server iterates it once at most, as fast as the client reads, and calls
 * `return()` of the iterator when the client goes away: also while `next()` is pending, which then has to settle. What the
 * stream needs is opened by the first `next()`: a stream that nobody iterates, as for `HEAD`, holds nothing. The first
 * piece comes at once, as the headers may go out with it.
 */
export type TextStream = AsyncIterable<string>

/** Whether a body is a stream. */
export function isStream(body: object): body is TextStream {
  return Symbol.asyncIterator in body
}

/** The stream as the body of a `Response`: it takes the next piece when there is room for it. */
export function toWebStream(body: TextStream): ReadableStream<Uint8Array> {
  const pieces = body[Symbol.asyncIterator]()
  return new ReadableStream(
    {
      async pull(controller) {
        const { done, value } = await pieces.next()
        if (done) controller.close()
        else controller.enqueue(utf8.encode(value))
      },
      async cancel() {
        await pieces.return?.()
      },
    },
    { highWaterMark: 0 },
  )
}

const utf8 = new TextEncoder()
