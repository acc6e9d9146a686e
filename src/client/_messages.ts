/** A message of a stream of server-sent events: what headgate's server says in it. */
export interface Message {
  readonly id?: string
  readonly data?: string
}

/** The messages in what `read` gives, bytes by bytes, until it gives none. One that is cut off is none. */
export async function* messagesOf(read: () => Promise<Uint8Array | undefined>): AsyncGenerator<Message> {
  const decoder = new TextDecoder()
  let rest = ''
  for (let bytes = await read(); bytes; bytes = await read()) {
    const blocks = (rest + decoder.decode(bytes, { stream: true })).split('\n\n')
    rest = blocks.pop() ?? ''
    yield* blocks.map(toMessage)
  }
}

function toMessage(block: string): Message {
  const fields = [...block.matchAll(/^(id|data): ?(.*)$/gm)]
  return Object.fromEntries(fields.map(([, name, value]) => [name, value]))
}
