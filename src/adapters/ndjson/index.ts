export { type NdjsonFileOptions, ndjsonFile } from './target.js'
