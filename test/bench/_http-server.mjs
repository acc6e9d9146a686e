/**
 * A server for `http.ts`, by its name, in a process of its own. Plain JavaScript over the built package, as users run it: what
 * compiles TypeScript on the fly names every closure anew each time it is made, which would be measured too.
 */
import { once } from 'node:events'
import { createServer } from 'node:http'
import express from 'express'
import { JobRegistry, memoryStorage } from 'headgate'
import { createJobsHandler } from 'headgate/http'
import { toExpressMiddleware } from 'headgate/http/express'
import { toNodeHandler } from 'headgate/http/node'

const [name, path] = process.argv.slice(2)

const registry = new JobRegistry({ storage: memoryStorage() })
registry.define({ type: 'report', id: 'daily', run: ({ progress }) => progress({ count: 10_000, lastId: '12219' }) })
const handler = createJobsHandler(registry)

const listeners = {
  'headgate on node:http': () => toNodeHandler(handler),
  'headgate on Express': () => express().use(toExpressMiddleware(handler)),
  'by hand on Express': () => express().get('/_siren/connector/jobs/:type/:id', byHand),
  'bare node:http': async () => {
    const { status, headers, body } = await handler.answer({ method: 'GET', url: path, headers: new Headers() })
    return (_, response) => response.writeHead(status, headers).end(body)
  },
}

/** What somebody would write who needs this one call. */
async function byHand(request, response) {
  const { type, id } = request.params
  const status = await registry.status(type, id)
  if (!status) return void response.status(404).json({ _id: id, type, found: false })
  const { startTime, endTime, infos, state, count, lastId } = status
  response.set('cache-control', 'no-store').json({
    _id: id,
    type,
    found: true,
    status: {
      version: 1,
      id,
      is_running: state === 'running',
      start_time: startTime,
      end_time: endTime,
      infos,
      state,
      count,
      last_id: lastId,
    },
  })
}

await (await registry.start('report', 'daily')).finished
const server = createServer(await listeners[name]()).listen(0, '127.0.0.1')
await once(server, 'listening')
// Tells the time that it has worked whenever it is asked.
process.on('message', () => process.send(process.cpuUsage()))
process.send(server.address().port)
