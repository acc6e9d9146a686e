export { type AppendOptions, findAppended, openAppendWriter } from './append-writer.js'
