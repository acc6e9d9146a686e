// Starts a server of the docs on another runtime, and calls it: node runtime.mjs <command> <argument>…
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { JobsClient } from 'headgate/client'

const [command, ...args] = process.argv.slice(2)
const signal = AbortSignal.timeout(20_000)
const server = spawn(command, args, { env: { ...process.env, PORT: '0', NO_COLOR: '1' } })
server.stderr.pipe(process.stderr)
server.on('close', (code) => assert.fail(`Expected ${command} to serve, and it ended with ${code}`))
// Deno waits for open connections when it is asked to end.
process.on('exit', () => server.kill('SIGKILL'))

const url = `http://127.0.0.1:${await portOf(server)}/_siren/connector/jobs`
const client = new JobsClient({ url })
const job = ['report', 'daily']

assert.equal(await client.status(...job, { signal }), undefined)
const head = await fetch(`${url}/report/daily`, { method: 'HEAD', signal })
assert.deepEqual([head.status, await head.text()], [200, ''])

const stream = await fetch(`${url}/_events`, { signal })
const messages = stream.body.pipeThrough(new TextDecoderStream()).getReader()
assert.match((await messages.read()).value, /^id: /)
assert.equal((await client.start(...job, { signal })).state, 'running')
assert.match((await messages.read()).value, /"state":"running"/)
await messages.cancel()

assert.equal((await client.waitFor(...job, { signal })).count, 1)
assert.equal((await client.abort(...job, { signal })).state, 'successful')
const malformed = await fetch(`${url}/report/%zz`, { signal })
assert.equal((await malformed.json()).error.type, 'invalid_request')
process.exit()

/** The port that a server says it listens on. */
async function portOf({ stdout, stderr }) {
  for (let said = ''; ; ) {
    const [chunk] = await Promise.race(
      [stdout, stderr].map((output) => once(output.setEncoding('utf8'), 'data', { signal })),
    )
    said += chunk
    const [, port] = /http:\/\/[\w.]+:(\d+)/.exec(said) ?? []
    if (port) return port
  }
}
