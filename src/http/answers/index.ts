export { firstPage, lengthBy, lengthOf, pagesOf, pieceSize, piecesOf, type Search } from './pages.js'
export { hitsText, jsonHeaders } from './search-hits.js'
export { detailsBy, lengthOfDetail } from './status-detail.js'
export { flushTime, isStream, type TextStream, toWebStream } from './text-stream.js'
