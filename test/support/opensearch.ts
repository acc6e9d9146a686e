import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { createHash, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { accessSync, constants, existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, inject } from 'vitest'
import { freePort } from './free-port.js'
import { memoryFolder } from './memory-folder.mjs'

/** An OpenSearch of its own, in a JVM that ends with this process. */
export interface OwnOpensearch {
  readonly url: string
  /** Kills the server, and starts it again over the same data after `ms` milliseconds. */
  restart(ms?: number): Promise<void>
  stop(): Promise<void>
}

const folderOf = (name: string) => fileURLToPath(new URL(`opensearch/${name}`, import.meta.url))

/** An OpenSearch by the Java and the Maven of the machine. Maven loads the server once. Throws when one of them is missing. */
export async function startOpensearch(): Promise<OwnOpensearch> {
  const classpath = readClasspath()
  const folder = mkdtempSync(join(memoryFolder() ?? tmpdir(), 'headgate-opensearch-'))
  const port = await freePort()
  let server: ChildProcess
  try {
    server = await serve(classpath, folder, port)
  } catch (error) {
    rmSync(folder, { recursive: true, force: true })
    throw error
  }
  const end = async (signal: 'SIGKILL' | undefined) => {
    if (server.exitCode !== null || server.signalCode !== null) return
    const gone = once(server, 'exit')
    if (signal) server.kill(signal)
    else server.stdin?.end()
    await gone
  }
  return {
    url: `http://127.0.0.1:${port}`,
    async restart(ms = 0) {
      await end('SIGKILL')
      await setTimeout(ms)
      server = await serve(classpath, folder, port)
    },
    async stop() {
      await end(undefined)
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

async function serve(classpath: string, folder: string, port: number): Promise<ChildProcess> {
  const jvm = ['-Xms128m', '-Xmx400m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Dlog4j2.level=OFF']
  // Its input ends when this process does, however that dies: the server then ends too, and removes its folder.
  const server = spawn('java', [...jvm, '-cp', classpath, folderOf('Host.java'), folder, `${port}`], {
    cwd: folder,
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  let said = ''
  const failed = once(server, 'exit').then(() => Promise.reject(new Error(said.trim() || 'The server ended.')))
  const ready = new Promise<void>((resolve) => {
    for (const output of [server.stdout, server.stderr])
      output?.on('data', (data: Buffer) => {
        said = (said + data).slice(-4000)
        if (/^ready$/m.test(said)) resolve()
      })
  })
  await Promise.race([ready, failed])
  failed.catch(() => undefined)
  server.stdin?.on('error', () => undefined)
  // A forgotten `stop` keeps this process no longer alive.
  server.unref()
  for (const stream of [server.stdin, server.stdout, server.stderr]) (stream as unknown as { unref(): void }).unref()
  return server
}

/** The classpath of the server. Maven takes ten seconds to tell it, so that it is kept until `pom.xml` changes. */
function readClasspath(): string {
  const pom = folderOf('pom.xml')
  const mark = createHash('sha256').update(readFileSync(pom)).digest('hex').slice(0, 12)
  const file = fileURLToPath(new URL(`../../node_modules/.opensearch-classpath-${mark}`, import.meta.url))
  const known = existsSync(file) ? readFileSync(file, 'utf8').trim() : ''
  if (known !== '' && known.split(delimiter).every((jar) => existsSync(jar))) return known
  const own = `${file}-${randomUUID()}`
  const args = ['-q', '-B', '-f', pom, 'dependency:build-classpath', `-Dmdep.outputFile=${own}`]
  const { error, status, stdout } = spawnSync('mvn', args, { encoding: 'utf8' })
  if (error || status !== 0) throw error ?? new Error(`Maven could not load OpenSearch: ${stdout.slice(0, 2000)}`)
  renameSync(own, file)
  return readFileSync(file, 'utf8').trim()
}

/** Whether this machine has Java and Maven. */
function isJavaThere(): boolean {
  return ['java', 'mvn'].every((name) =>
    (process.env.PATH ?? '').split(delimiter).some((at) => isProgram(join(at, name))),
  )
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** What gives the address of a server for the whole run to those who ask for it. */
export interface LazyOpensearch {
  readonly url: string
  stop(): Promise<void>
}

/**
 * Starts one OpenSearch for the whole run when the first test asks for it, as it takes seconds and most runs need none. The server that
 * `HEADGATE_TEST_OPENSEARCH_URL` names comes first. `undefined` without Java and Maven, which is an error in CI.
 */
export async function offerOpensearch(): Promise<LazyOpensearch | undefined> {
  const known = process.env.HEADGATE_TEST_OPENSEARCH_URL
  if (known === undefined && !isJavaThere()) {
    if (process.env.CI)
      throw new Error('The tests of OpenSearch need `java` and `mvn`, or HEADGATE_TEST_OPENSEARCH_URL.')
    console.warn('No Java or no Maven, so tests that need an OpenSearch are skipped.')
    return undefined
  }
  let own: Promise<OwnOpensearch> | undefined
  const offer = createHttpServer(async ({ method }, response) => {
    try {
      own ??= known === undefined ? startOpensearch() : undefined
      if (method === 'POST') await (await own)?.restart()
      response.end((await own)?.url ?? known)
    } catch (error) {
      response.writeHead(500).end((error as Error).message)
    }
  })
  offer.listen(0, '127.0.0.1')
  await once(offer, 'listening')
  const { port } = offer.address() as { port: number }
  return {
    url: `http://127.0.0.1:${port}`,
    async stop() {
      offer.close()
      offer.closeAllConnections()
      await (await own?.catch(() => undefined))?.stop()
    },
  }
}

/** The OpenSearch of the run, in which the tests of one file have indexes of their own. */
export interface TestOpensearch {
  /** From `beforeAll` on. */
  readonly url: string
  /** A prefix for the names of indexes, which are removed after the tests. */
  readonly prefix: string
  /** Sends a request, and gives the JSON of the answer. Throws unless it is a good one. */
  send<Answer = unknown>(method: string, path: string, body?: unknown): Promise<Answer>
  /** Kills the server, and starts it again. Only for tests that run alone. */
  restart(): Promise<void>
}

/** `describe` for tests that need an OpenSearch. Skipped when the run can have none. */
export function describeOpensearch(name: string, body: (server: TestOpensearch) => void): void {
  const offer = inject('opensearch')
  const prefix = `t${randomUUID().slice(0, 8)}-`
  let url = ''
  const send = async <Answer>(method: string, path: string, body?: unknown): Promise<Answer> => {
    const headers = { 'content-type': 'application/json' }
    const text = body === undefined ? undefined : JSON.stringify(body)
    const answer = await fetch(`${url}${path}`, { method, headers, ...(text !== undefined && { body: text }) })
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`)
    return (method === 'HEAD' ? undefined : await answer.json()) as Answer
  }
  describe.skipIf(offer === undefined)(name, () => {
    beforeAll(async () => {
      const answer = await fetch(offer ?? '')
      if (!answer.ok) throw new Error(`There is no OpenSearch: ${await answer.text()}`)
      url = await answer.text()
    }, 180_000)
    afterAll(() => send('DELETE', `/${prefix}*?expand_wildcards=all`))
    body({
      get url() {
        return url
      },
      prefix,
      send,
      async restart() {
        const answer = await fetch(offer ?? '', { method: 'POST' })
        if (!answer.ok) throw new Error(`The server did not start again: ${await answer.text()}`)
      },
    })
  })
}
