export { CursorRead } from './cursor-read.js'
export type { CursorReading } from './description.js'
export { snapshotLiteral } from './stored-position.js'
