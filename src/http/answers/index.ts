export { healthBody, type WireHealth } from './health-body.js'
export { firstPage, lengthOf, pagesOf, pieceSize, piecesOf, type Search } from './pages.js'
export { hitsText, jsonHeaders } from './search-hits.js'
export { flushTime, isStream, type TextStream, toWebStream } from './text-stream.js'
