import { JobError } from '../core/errors.js'

/** A message of a stream of server-sent events. */
export interface Message {
  readonly event?: string
  readonly id?: string
  readonly data?: string
}

/** The longest message, in characters: several times what an event of headgate can have. */
const maxMessage = 4 * 1024 * 1024

/**
 * The messages in what `read` gives, bytes by bytes, until it gives none. One that is cut off is none. Lines end as the standard
 * says: by CR, LF or both, and by nothing else that may stand in a text.
 */
export async function* messagesOf(read: () => Promise<Uint8Array | undefined>): AsyncGenerator<Message> {
  const decoder = new TextDecoder()
  let fields: Record<string, string> = {}
  let line = ''
  let size = 0
  let endedByCr = false
  for (let bytes = await read(); bytes; bytes = await read()) {
    let text = decoder.decode(bytes, { stream: true })
    if (endedByCr && text.startsWith('\n')) text = text.slice(1)
    if (text !== '' || bytes.length > 0) endedByCr = text.endsWith('\r')
    const [first = '', ...more] = text.split(/\r\n|\r|\n/)
    line += first
    for (const next of more) {
      size += line.length
      if (line === '') {
        // An empty one says nothing: millions of them would keep whoever reads busy without a pause.
        if (size > 0) yield fields
        if (size > 0) fields = {}
        size = 0
      } else addField(fields, line)
      line = next
    }
    if (size + line.length > maxMessage) throw new JobError('server', 'The server told of something that has no end.')
  }
}

function addField(fields: Record<string, string>, line: string): void {
  const [, name = '', value = ''] = /^(event|id|data)(?:: ?(.*))?$/s.exec(line) ?? []
  if (name === 'data' && fields.data !== undefined) fields.data += `\n${value}`
  else if (name !== '') fields[name] = value
}
