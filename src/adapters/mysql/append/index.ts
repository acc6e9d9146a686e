export { openAppendWriter } from './append-writer.js'
