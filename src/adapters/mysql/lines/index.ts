export { BatchLines, type LineGroup, type LineOptions } from './batch-lines.js'
export { type InsertFrame, type InsertStatement, InsertText, insertHead, loadStatement } from './insert-text.js'
export type { LineField } from './line-field.js'
export { tooLong } from './line-limits.js'
