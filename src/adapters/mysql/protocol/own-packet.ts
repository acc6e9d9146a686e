import type { MysqlConnection, OwnPacket } from '../client/index.js'

/** How many bytes mysql2 fills in before the content of a packet: the length and the sequence number. */
export const packetHeader = 4

/** The code of a statement in the protocol. */
const queryCode = 3

/** The capability by which statements may have attributes: then two numbers come before the text. */
const queryAttributes = 0x08000000

/** The packet of a buffer whose first four bytes are free. */
export function packetOf(buffer: Buffer): OwnPacket {
  return {
    buffer,
    length: () => buffer.length - packetHeader,
    writeHeader(sequence) {
      buffer.writeUIntLE(buffer.length - packetHeader, 0, 3)
      buffer[3] = sequence
    },
  }
}

/** The packet of a statement that is given as bytes in the character set of the session. */
export function statementPacket({ config, serverCapabilityFlags = 0 }: MysqlConnection, text: Uint8Array): OwnPacket {
  const hasAttributes = (Number(config.clientFlags) & serverCapabilityFlags & queryAttributes) !== 0
  // There are no attributes, in one set.
  const head = hasAttributes ? [queryCode, 0, 1] : [queryCode]
  const buffer = Buffer.allocUnsafe(packetHeader + head.length + text.length)
  buffer.set(head, packetHeader)
  buffer.set(text, packetHeader + head.length)
  return packetOf(buffer)
}
