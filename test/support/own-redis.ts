import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { freePort } from './free-port.js'

/** A Redis of its own, whose memory is all that it has. */
export interface OwnRedis {
  readonly url: string
  /** Kills the server, and starts an empty one in its place. */
  restart(): Promise<void>
  /** Kills the server: it is away. */
  kill(): Promise<void>
  /** Lets the server hang, with its connections open. */
  freeze(): void
  stop(): Promise<void>
}

/** A Redis of its own, by the `redis-server` of the machine. Throws when there is none. */
export async function startRedis(): Promise<OwnRedis> {
  const port = await freePort()
  let server = await serve(port)
  const kill = () => server.kill('SIGKILL')
  process.once('exit', kill)
  const end = async () => {
    if (server.exitCode !== null || server.signalCode !== null) return
    const gone = once(server, 'exit')
    kill()
    await gone
  }
  return {
    url: `redis://127.0.0.1:${port}`,
    async restart() {
      await end()
      server = await serve(port)
    },
    kill: end,
    freeze: () => void server.kill('SIGSTOP'),
    async stop() {
      process.off('exit', kill)
      await end()
    },
  }
}

async function serve(port: number): Promise<ChildProcess> {
  const args = ['--port', `${port}`, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no']
  const server = spawn('redis-server', args, { stdio: ['ignore', 'pipe', 'ignore'] })
  const failed = Promise.race([once(server, 'exit'), once(server, 'error').then(([error]) => Promise.reject(error))])
  const ready = new Promise<'ready'>((resolve) => {
    let said = ''
    server.stdout.on('data', (data: Buffer) => {
      said += data
      if (/ready to accept connections/i.test(said)) resolve('ready')
    })
  })
  if ((await Promise.race([ready, failed])) !== 'ready') throw new Error('The Redis server ended before it was ready.')
  failed.catch(() => undefined)
  return server
}

/** Whether this machine has a `redis-server`. Throws in CI when it has none. */
export function isRedisThere(): boolean {
  const { error } = spawnSync('redis-server', ['--version'])
  if (error && process.env.CI) throw error
  if (error) console.warn(`No redis-server, so tests that need one of their own are skipped: ${error.message}`)
  return !error
}
