export { checkAlias } from './alias.js'
export { openReplaceWriter, type ReplaceOptions } from './replace-writer.js'
