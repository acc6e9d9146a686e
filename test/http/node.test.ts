import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import express from 'express'
import fc from 'fast-check'
import { describe, expect, test, vi } from 'vitest'
import { toNodeHandler } from '../../src/http/mounts/node.js'
import { recordEvents } from '../../src/testing/index.js'
import { describedHandler } from './described-handler.js'
import { base, defineHeld, listen, newRegistry, sendTo } from './support.js'

function handlerOf(basePath?: string) {
  const registry = newRegistry()
  defineHeld(registry, 'copy', 'a')
  return { registry, handler: describedHandler(registry, basePath === undefined ? {} : { basePath }) }
}

describe('where it is mounted', () => {
  test.each([
    ['/', '/', '/copy/a', 200],
    ['/jobs', '/', '/jobs/copy/a', 200],
    ['/jobs', '/jobs', '/jobs/copy/a', 200],
    ['/jobs', '/api', '/api/jobs/copy/a', 200],
    ['/api/jobs', '/api', '/api/jobs/copy/a', 200],
    ['/', '/api', '/api/copy/a', 200],
    ['/jobs', '/', '/other', 418],
    ['/jobs', '/api', '/api/other', 418],
    ['/jobs', '/jobs', '/jobs/copy/a/b', 404],
    // One call has one address: that of another would pass by a guard.
    ['/api/jobs', '/api/jobs', '/api/jobs/api/jobs/copy/a', 404],
    ['/api/jobs', '/api', '/api/api/jobs/copy/a', 418],
    ['/api/jobs', '/api', '/API/api/jobs/copy/a', 418],
    ['/jobs', '/api', '/api/api/jobs/copy/a', 418],
  ])('base path %s on Express at %s: %s answers %i', async (basePath, mount, path, status) => {
    const { handler } = handlerOf(basePath)
    const app = express()
      .use(mount, toNodeHandler(handler))
      .use((_, response) => void response.status(418).end())
    const { port } = await listen(app)
    expect((await sendTo(port)(path)).status).toBe(status)
  })

  test.each([
    ['/jobs', '/:tenant', '/x/jobs/copy/a', 200],
    ['/jobs', '/:tenant', '/jobs/jobs/copy/a', 200],
    ['/api/jobs', '/:tenant', '/x/api/jobs/copy/a', 200],
    ['/jobs', '/*path', '/x/jobs/copy/a', 418],
    // These would be second URLs of the same calls.
    ['/jobs', '/:tenant', '/jobs/copy/a', 418],
    ['/api/jobs', '/:tenant', '/api/jobs/copy/a', 418],
    ['/api/jobs', '/:a/:b', '/api/jobs/copy/a', 418],
    ['/api/jobs', '{/:lang}/api', '/api/jobs/copy/a', 200],
    ['/api/jobs', /^\/(\w+)/, '/api/jobs/copy/a', 418],
  ])('base path %s on Express at %s, which has parameters: %s answers %i', async (basePath, mount, path, status) => {
    const app = express()
      .use(mount, toNodeHandler(handlerOf(basePath).handler))
      .use((_, response) => void response.status(418).end())
    const { port } = await listen(app)
    expect((await sendTo(port)(path)).status).toBe(status)
  })

  test('on a router of Express', async () => {
    const { handler } = handlerOf('/jobs')
    const app = express().use('/api', express.Router().use('/v1', toNodeHandler(handler)))
    const { port } = await listen(app)
    expect((await sendTo(port)('/api/v1/jobs/copy/a')).status).toBe(200)
  })

  test.each([
    ['/', base, '/denied', 418],
    ['/', base, '/', 418],
    [base, base, '/denied', 404],
    ['/api', '/jobs', '/denied', 418],
    ['/api', '/jobs', '/', 418],
    ['/api', '/jobs', '/jobs/copy/b', '{"_id":"b"'],
    ['/_siren', base, '/connector/jobs/copy/b', '{"_id":"b"'],
  ])(
    'on Express at %s with the base path %s, an address rewritten to %s is obeyed',
    async (mount, basePath, to, told) => {
      const { handler } = handlerOf(basePath)
      const rewrite: express.RequestHandler = (request, _, next) => {
        request.url = to
        next()
      }
      const app = express()
        .use(mount, express.Router().use(rewrite, toNodeHandler(handler)))
        .use((_, response) => void response.status(418).end())
      const { port } = await listen(app)
      const { status, text } = await sendTo(port)(`${mount === '/api' ? '/api/jobs' : base}/copy/a`)
      if (typeof told === 'number') expect(status).toBe(told)
      else expect(text).toContain(told)
    },
  )

  test('a middleware without mounts obeys an address that was rewritten', () => {
    const { handler } = handlerOf()
    const rewrite = (url: string, originalUrl: string) => {
      const next = vi.fn()
      const response = { headersSent: true, writeHead: vi.fn(), end: vi.fn(), destroy: vi.fn() }
      toNodeHandler(handler)({ url, originalUrl, headers: {} }, response, next)
      return next.mock.calls.length === 0
    }
    expect(rewrite('/copy/a', `${base}/copy/a`)).toBe(true)
    expect(rewrite('/copy/a?x', `${base}/copy/a?x`)).toBe(true)
    expect(rewrite('/denied', `${base}/copy/a`)).toBe(false)
    expect(rewrite('/', `${base}/copy/a`)).toBe(false)
    expect(rewrite('', `${base}/copy/a`)).toBe(false)
  })

  test('without a next, what is not under the base path is not found', async () => {
    const { port } = await listen(toNodeHandler(handlerOf().handler))
    const { status, text } = await sendTo(port)('/other')
    expect([status, JSON.parse(text).error.type]).toEqual([404, 'not_found'])
  })

  test('authorize sees the request of Express', async () => {
    const registry = newRegistry()
    defineHeld(registry, 'copy', 'a')
    const handler = describedHandler(registry, {
      authorize: ({ native, headers, url }) =>
        (native as IncomingMessage & { user?: string }).user === 'ann' &&
        headers.get('X-Team') === 'ops' &&
        headers.get('constructor') === null &&
        url === `${base}/copy/a`,
    })
    const app = express()
    app.use((request, _, next) => {
      Object.assign(request, { user: 'ann' })
      next()
    })
    app.use(base, toNodeHandler(handler))
    const { port } = await listen(app)
    expect((await sendTo(port)(`${base}/copy/a`, { headers: { 'x-team': 'ops' } })).status).toBe(200)
  })

  test('types fit node and Express', () => {
    const serve = toNodeHandler(handlerOf().handler)
    createServer(serve)
    express().use(serve).use('/x', serve).all('/y', serve)
  })
})

describe('on the raw connection', () => {
  async function raw() {
    const { registry, handler } = handlerOf()
    const { port, server } = await listen(toNodeHandler(handler))
    const socket = connect(port, '127.0.0.1').setEncoding('utf8')
    await once(socket, 'connect')
    let received = ''
    socket.on('data', (text) => {
      received += text
    })
    /** Waits until the text that came fits. */
    const until = async (pattern: RegExp) => {
      while (!pattern.test(received)) await once(socket, 'data')
      const text = received
      received = ''
      return text
    }
    return { registry, server, socket, port, until }
  }

  const get = `GET ${base}/copy/a HTTP/1.1\r\nHost: x\r\n\r\n`
  const found = '{"_id":"a","type":"copy","found":true}'

  test.each(['', ':::', 'a b', '%zz', '[', '127.0.0.1:99999'])('the Host %j', async (host) => {
    const { socket, until } = await raw()
    socket.write(`GET ${base}/copy/a HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
    expect(await until(/}$/)).toContain(found)
  })

  test.each([`${base}/copy/a#x`, `${base}/copy#/a`, `/#${base}/copy/a`])(
    'an address with a fragment: %s',
    async (url) => {
      const { socket, until } = await raw()
      socket.write(`GET ${url} HTTP/1.1\r\nHost: x\r\n\r\n`)
      expect(await until(/}$/)).toContain('404 Not Found')
    },
  )

  test('an absolute address', async () => {
    const { socket, until } = await raw()
    socket.write(`GET http://localhost${base}/copy/a HTTP/1.1\r\nHost: x\r\n\r\n`)
    expect(await until(/}$/)).toContain(found)
  })

  test('HTTP/1.0 without a Host is of no page', async () => {
    const { socket, until } = await raw()
    socket.write(`POST ${base}/copy/a/_start HTTP/1.0\r\nOrigin: http://null\r\n\r\n`)
    expect(await until(/}$/)).toContain('403 Forbidden')
  })

  test('an asterisk', async () => {
    const { socket, until } = await raw()
    socket.write('OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n')
    expect(await until(/}$/)).toContain('404 Not Found')
  })

  test('an id as long as node lets in', async () => {
    const { socket, until } = await raw()
    socket.write(`GET ${base}/copy/${'x'.repeat(15_000)} HTTP/1.1\r\nHost: x\r\n\r\n`)
    expect(await until(/}$/)).toContain('400 Bad Request')
  })

  test('a body that never comes is not waited for', async () => {
    const { socket, until } = await raw()
    socket.write(`POST ${base}/copy/a/_abort HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n`)
    expect(await until(/}$/)).toContain('400 Bad Request')
  })

  test('the connection goes on after a body that nobody read', async () => {
    const { socket, until } = await raw()
    const body = 'x'.repeat(300_000)
    socket.write(`POST ${base}/copy/b/_abort HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
    expect(await until(/}$/)).toContain('400 Bad Request')
    socket.write(get)
    expect(await until(/}$/)).toContain(found)
  })

  test('two calls at once are answered in their order', async () => {
    const { socket, until } = await raw()
    socket.write(get + get.replace('/copy/a', '/copy/b'))
    expect(await until(/"_id":"b".*}$/s)).toMatch(/"_id":"a".*"_id":"b"/s)
  })

  test('Expect: 100-continue', async () => {
    const { socket, until } = await raw()
    socket.write(`POST ${base}/copy/b/_abort HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n`)
    await until(/100 Continue/)
    socket.write('hello')
    socket.write(get)
    expect(await until(/"_id":"a".*}$/s)).toContain(found)
  })

  test('HEAD leaves the connection ready', async () => {
    const { socket, until } = await raw()
    socket.write(get.replace('GET', 'HEAD'))
    const head = await until(/\r\n\r\n/)
    expect(head.toLowerCase()).toContain(`content-length: ${found.length}\r\n`)
    expect(head).not.toContain('found')
    socket.write(get)
    expect(await until(/}$/)).toContain(found)
  })

  test('a client that leaves before the answer hurts nobody', async () => {
    const { registry, socket, port } = await raw()
    const events = recordEvents(registry)
    const job = defineHeld(registry, 'copy', 'deaf', { isDeaf: true })
    await registry.start('copy', 'deaf')
    socket.write(`POST ${base}/copy/deaf/_abort HTTP/1.1\r\nHost: x\r\n\r\n`)
    await events.waitFor('aborting')
    socket.resetAndDestroy()
    await once(socket, 'close')
    job.end()
    await events.waitFor('aborted')
    expect((await sendTo(port)(`${base}/copy/deaf`)).text).toContain('"state":"aborted"')
  })
})

test('no address on real HTTP gives a 5xx', async () => {
  const { port } = await listen(toNodeHandler(handlerOf().handler))
  const send = sendTo(port)
  const visible = fc.stringMatching(/^[!-~]{0,40}$/)
  const method = fc.constantFrom('GET', 'HEAD', 'POST', 'PUT', 'OPTIONS', 'REPORT')
  await fc.assert(
    fc.asyncProperty(method, visible, visible, async (method, text, header) => {
      for (const path of [`/${text}`, `${base}/${text}`, `${base}/copy/${text}`, `${base}/_search?${text}`]) {
        const { status, headers } = await send(path, { method, headers: { 'x-any': header } })
        expect(status).toBeLessThan(500)
        expect(headers.get('content-type')).toBe('application/json; charset=utf-8')
      }
    }),
    { numRuns: 200 },
  )
})

describe('beside others', () => {
  test('an answer that somebody has given before stands', async () => {
    const { handler } = handlerOf()
    const answer = vi.spyOn(handler, 'answer')
    const response = { headersSent: true, writeHead: vi.fn(), end: vi.fn(), destroy: vi.fn() }
    const next = vi.fn()
    toNodeHandler(handler)({ url: `${base}/copy/a`, headers: {} }, response, next)
    await answer.mock.results[0]?.value
    await setImmediate()
    for (const touch of [response.writeHead, response.end, response.destroy, next]) expect(touch).not.toHaveBeenCalled()
  })

  test('a response that cannot be written goes to the next error handler', async () => {
    const next = vi.fn()
    const { promise, resolve } = deferred()
    const response = {
      headersSent: false,
      writeHead: () => {
        throw new TypeError('no')
      },
      end: () => {},
      destroy: resolve,
    }
    const serve = toNodeHandler(handlerOf().handler)
    serve({ url: `${base}/copy/a`, headers: {} }, response, (error) => {
      next(error)
      resolve()
    })
    await promise
    expect(next).toHaveBeenCalledExactlyOnceWith(expect.any(TypeError))
  })

  test('without one, it is ended', async () => {
    const { promise, resolve } = deferred()
    const writeHead = () => {
      throw new TypeError('no')
    }
    toNodeHandler(handlerOf().handler)(
      { url: `${base}/copy/a`, headers: {} },
      { headersSent: false, writeHead, end: () => {}, destroy: resolve },
    )
    await promise
  })
})

function deferred() {
  let resolve!: () => void
  const promise = new Promise<void>((settle) => {
    resolve = settle
  })
  return { promise, resolve }
}
