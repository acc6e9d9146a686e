/**
 * Holds one throw-away MariaDB for the process that forked this one, and takes it away when that process disconnects: so nothing is left
 * behind, however the other one dies. Settings of the server beside its own come as JSON in the first argument. Sends `{ url }` once the
 * server is ready, or `{ error }`. The message `{ restartAfter }` kills the server, and starts it again over the same data after so many
 * milliseconds; `{ url }` then comes again.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { memoryFolder } from './memory-folder.mjs'

const asRoot = process.getuid?.() === 0 ? ['--user=root'] : []
/** Holds the data, once it is prepared. */
let folder = ''

/** The other process may have died before this line. */
const disconnected = process.connected ? once(process, 'disconnect') : Promise.resolve()

try {
  const serve = await prepare()
  let server = await serve()
  for (let order = await nextOrder(server); order; order = await nextOrder(server)) {
    await kill(server)
    await setTimeout(order.restartAfter)
    server = await serve()
  }
  await kill(server)
} catch (error) {
  tell({ error: error.message })
} finally {
  if (folder) rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
}
if (process.connected) process.disconnect()

/** Makes the data of a server. Gives the function that starts a server over it. */
async function prepare() {
  folder = mkdtempSync(join(memoryFolder() ?? tmpdir(), 'headgate-mariadb-'))
  const data = join(folder, 'data')
  const plain = ['--auth-root-authentication-method=normal', '--skip-test-db', '--skip-name-resolve']
  await finished(run('mariadb-install-db', ['--no-defaults', `--datadir=${data}`, ...plain, ...asRoot]))
  const port = await freePort()
  return async () => {
    const server = run('mariadbd', [
      '--no-defaults',
      `--datadir=${data}`,
      `--socket=${join(folder, 'socket')}`,
      `--pid-file=${join(folder, 'pid')}`,
      `--port=${port}`,
      ...settings(),
      ...asRoot,
    ])
    await ready(server)
    tell({ url: `mysql://root@127.0.0.1:${port}` })
    return server
  }
}

function settings() {
  const values = {
    'bind-address': '127.0.0.1',
    'skip-name-resolve': 1,
    'innodb-flush-log-at-trx-commit': 0,
    'innodb-buffer-pool-size': '64M',
    'innodb-log-file-size': '32M',
    'innodb-use-native-aio': 0,
    'max-connections': 300,
    ...JSON.parse(process.argv[2] ?? '{}'),
  }
  return Object.entries(values).map(([name, value]) => `--${name}=${value}`)
}

/** What the other process wants next; `undefined` when it, or the server, is gone. */
async function nextOrder(server) {
  const nothing = Promise.race([disconnected, once(server, 'exit')]).then(() => [])
  const [order] = await Promise.race([once(process, 'message'), nothing])
  return order
}

async function kill(server) {
  if (server.exitCode !== null || server.signalCode !== null) return
  server.kill('SIGKILL')
  await once(server, 'exit')
}

function run(command, args) {
  const child = spawn(command, args, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] })
  child.log = ''
  child.stderr.setEncoding('utf8').on('data', (text) => {
    child.log = (child.log + text).slice(-4000)
  })
  return child
}

async function finished(child) {
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(child.log.trim() || `${child.spawnfile} ended with ${code}`)
}

async function ready(server) {
  const gone = finished(server).then(() => Promise.reject(new Error('The server ended before it was ready.')))
  gone.catch(() => undefined)
  while (!server.log.includes('ready for connections')) await Promise.race([once(server.stderr, 'data'), gone])
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  await once(server, 'close')
  return port
}

/** The other process may be gone already; that is no error. */
function tell(message) {
  process.send(message, () => undefined)
}
