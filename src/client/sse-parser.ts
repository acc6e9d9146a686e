import { JobError } from '../core/base/index.js'

/** A server-sent event. */
export interface Message {
  readonly event?: string
  readonly id?: string
  readonly data?: string
}

/** How many bytes are parsed at once, and for how many milliseconds before the parser yields to the event loop. */
const sliceSize = 16 * 1024
const longestRun = 10

/** Maximum length of a message, in characters. An event of headgate is several times shorter. */
const maxMessage = 4 * 1024 * 1024

/**
 * Parses the messages in the bytes that `read` returns, until it returns none. Drops a message that is cut off. Lines end with CR, LF
 * or both, as the standard says, and with no other character.
 */
export async function* messagesOf(read: () => Promise<Uint8Array | undefined>): AsyncGenerator<Message> {
  const decoder = new TextDecoder()
  let fields: Record<string, string> = {}
  let line = ''
  let size = 0
  let endedByCr = false
  for await (const bytes of slicesOf(read)) {
    let text = decoder.decode(bytes, { stream: true })
    if (endedByCr && text.startsWith('\n')) text = text.slice(1)
    if (text !== '' || bytes.length > 0) endedByCr = text.endsWith('\r')
    // Of many empty lines in a row, the first says all.
    const [first = '', ...more] = text.replace(/[\r\n]{5,}/g, '\n\n').split(/\r\n|\r|\n/)
    line += first
    for (const next of more) {
      size += line.length
      if (line === '') {
        // Empty messages are dropped. Millions of them would keep the reader busy without a pause.
        if (size > 0) yield fields
        if (size > 0) fields = {}
        size = 0
      } else addField(fields, line)
      line = next
    }
    if (size + line.length > maxMessage) throw new JobError('server', 'The server sent an event that is too long.')
  }
}

/** The bytes that `read` returns, in small slices. Yields to the event loop in between, as a buffered body would block it. */
async function* slicesOf(read: () => Promise<Uint8Array | undefined>): AsyncGenerator<Uint8Array, void> {
  let since = performance.now()
  for (let bytes = await read(); bytes; bytes = await read()) {
    for (let from = 0; from < bytes.length; from += sliceSize) {
      yield bytes.subarray(from, from + sliceSize)
      if (performance.now() - since < longestRun) continue
      await new Promise((resolve) => setTimeout(resolve))
      since = performance.now()
    }
  }
}

function addField(fields: Record<string, string>, line: string): void {
  const [, name = '', value = ''] = /^(event|id|data)(?:: ?(.*))?$/s.exec(line) ?? []
  if (name === 'data' && fields.data !== undefined) fields.data += `\n${value}`
  else if (name !== '') fields[name] = value
}
