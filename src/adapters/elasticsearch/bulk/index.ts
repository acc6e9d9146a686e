export type { SendTo } from './bulk-sender.js'
export { DocumentWriter, type DocumentWriterOptions } from './document-writer.js'
