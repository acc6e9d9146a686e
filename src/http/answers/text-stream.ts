import { JobError } from '../../index.js'

/**
 * The text of a streamed answer. A server iterates it at most once, as fast as the client reads, and calls `return()`
 * of the iterator when the client disconnects. That may happen while `next()` is pending, which then settles. The
 * first `next()` opens the resources of the stream, so a stream that is not iterated, as for `HEAD`, holds none. The
 * first piece comes at once, because the headers may be sent with it.
 */
export interface TextStream extends AsyncIterable<string> {
  /** Whether the stream continues until one side ends it. Its connection cannot be reused and should be closed. */
  readonly isEndless?: boolean
  /**
   * Calls `listener` when the server has ended the stream. Returns a function that stops this. A mount closes the
   * connection of a client that does not read the rest soon after.
   */
  onEnd?(listener: () => void): () => void
}

/** How long a client may take to read the rest of an ended stream, in milliseconds. */
export const flushTime = 2000

/** Whether a body is a stream. */
export function isStream(body: object): body is TextStream {
  return Symbol.asyncIterator in body
}

/** Converts a stream to the body of a `Response`. It requests the next piece when there is room for it. */
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
            // In Node, the timer does not keep the process alive.
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
