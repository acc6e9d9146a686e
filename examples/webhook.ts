/**
 * Posts the end of every execution to a URL, with a signature.
 *
 *     npx tsx examples/webhook.ts
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { type EndContext, type EndedStatus, JobRegistry, memoryStorage } from 'headgate'

const secret = 'a secret that both sides know'
const signatureOf = (body: string) => createHmac('sha256', secret).update(body).digest('hex')

/** Stands in for a chat, a pager, or a service of yours. */
const receiver = createServer(async (request, response) => {
  const body = await text(request)
  const [given, expected] = [Buffer.from(`${request.headers['x-signature']}`), Buffer.from(signatureOf(body))]
  const isGenuine = given.length === expected.length && timingSafeEqual(given, expected)
  response.writeHead(isGenuine ? 204 : 401).end()
  if (isGenuine) console.log(body)
})
await once(receiver.listen(0, '127.0.0.1'), 'listening')
const url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/jobs`

// #region post
async function post(status: EndedStatus, { signal }: EndContext): Promise<void> {
  const { type, id, executionId, state, count } = status
  const error = status.state === 'error' ? status.error : undefined
  const body = JSON.stringify({ job: `${type}/${id}`, state, count, error })
  const response = await fetch(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'x-signature': signatureOf(body),
      'idempotency-key': executionId, // the same when a call is repeated
    },
    body,
    signal,
  })
  if (!response.ok) throw new Error(`The webhook answered ${response.status}.`) // is called again
}

const registry = new JobRegistry({ storage: memoryStorage(), onEnd: post, onEndTimeout: 10_000 })
// #endregion

registry.define({ type: 'report', id: 'weekly', run: ({ progress }) => progress({ count: 12 }) })
registry.define({
  type: 'report',
  id: 'daily',
  run: () => {
    throw new Error('No such table: orders.')
  },
})
for (const id of ['weekly', 'daily']) await (await registry.start('report', id)).finished
await registry.close() // waits for the calls
receiver.close()
// {"job":"report/weekly","state":"successful","count":12}
// {"job":"report/daily","state":"error","count":0,"error":["No such table: orders."]}
