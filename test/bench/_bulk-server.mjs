/**
 * Answers every `_bulk` at once, for `elasticsearch.ts`, in a process of its own: counts the lines, and says that all documents are new.
 * Sends its port, and how many documents there were when it is asked.
 */
import { createServer } from 'node:http'
import { createGunzip } from 'node:zlib'

let documents = 0
const answers = new Map()

const server = createServer((request, response) => {
  let lines = 0
  const body = request.headers['content-encoding'] === 'gzip' ? request.pipe(createGunzip()) : request
  body.on('data', (chunk) => {
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, at + 1)) lines++
  })
  body.on('end', () => {
    // Clients of Elasticsearch look for it.
    response.writeHead(200, { 'content-type': 'application/json', 'x-elastic-product': 'Elasticsearch' })
    if (!request.url.includes('_bulk'))
      return response.end('{"bench":{"aliases":{},"settings":{"index":{"uuid":"bench"}}}}')
    documents += lines / 2
    response.end(answerTo(lines / 2))
  })
})

function answerTo(count) {
  const item = '{"index":{"result":"created","status":201}}'
  const known = answers.get(count) ?? Buffer.from(`{"took":1,"errors":false,"items":[${Array(count).fill(item)}]}`)
  answers.set(count, known)
  return known
}

server.listen(0, '127.0.0.1', () => process.send(server.address().port))
process.on('message', () => process.send(documents))
process.on('disconnect', () => process.exit())
