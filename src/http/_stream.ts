import { JobError } from '../index.js'

/**
 * The text of an answer that has no end in sight. A server iterates it once at most, as fast as the client reads, and calls
 * `return()` of the iterator when the client goes away: also while `next()` is pending, which then has to settle. What the
 * stream needs is opened by the first `next()`: a stream that nobody iterates, as for `HEAD`, holds nothing. The first
 * piece comes at once, as the headers may go out with it.
 */
export interface TextStream extends AsyncIterable<string> {
  /** Whether it goes on until one side ends it. Its connection is of no use afterwards, and need not be kept. */
  readonly isEndless?: boolean
  /**
   * Calls back when the stream is over for the server, and gives what stops that. A client that has not read the rest soon after
   * is cut off, as nothing else would ever end its connection.
   */
  onEnd?(listener: () => void): () => void
}

/** How long a client has to read what is left of a stream that is over, in milliseconds. */
export const flushTime = 2000

/** Whether a body is a stream. */
export function isStream(body: object): body is TextStream {
  return Symbol.asyncIterator in body
}

/** The stream as the body of a `Response`: it takes the next piece when there is room for it. */
export function toWebStream(body: TextStream): ReadableStream<Uint8Array> {
  const pieces = body[Symbol.asyncIterator]()
  let timer: ReturnType<typeof setTimeout> | undefined
  let stop = () => {}
  const over = () => {
    clearTimeout(timer)
    stop()
  }
  return new ReadableStream(
    {
      start(controller) {
        const cutOff = () => controller.error(new JobError('server', 'The client did not read the stream.'))
        stop =
          body.onEnd?.(() => {
            timer = setTimeout(cutOff, flushTime)
            // In node, it alone does not keep the process alive.
            ;(timer as { unref?: () => void }).unref?.()
          }) ?? stop
      },
      async pull(controller) {
        const { done, value } = await pieces.next()
        if (!done) return controller.enqueue(utf8.encode(value))
        over()
        controller.close()
      },
      async cancel() {
        over()
        await pieces.return?.()
      },
    },
    { highWaterMark: 0 },
  )
}

const utf8 = new TextEncoder()
