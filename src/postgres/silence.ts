import { connect as openSocket } from 'node:net'
import { JobError, type JobErrorCode } from '../index.js'

/** How long a server may be silent before it is asked whether it is still there, in milliseconds. */
export const defaultSilenceTimeout = 60_000

/** How long the server has to say that it is there, in milliseconds. */
const answerTimeout = 10_000

/** The request that every server of Postgres and every pooler answers with one byte, before any login. */
const sslRequest = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f])

/** What a {@link SilenceWatch} needs. */
export interface SilenceOptions {
  /** The client of pg whose server is waited for. */
  readonly client: object
  /** How long the server may be silent, in milliseconds. */
  readonly timeout: number
  /** The code of the error. */
  readonly code: JobErrorCode
  /** Called once, when the server cannot be reached any more. */
  onLost(error: JobError): void
}

/**
 * Notices a server that has vanished without a word, as behind a network that drops packets. A long query is silent too, so
 * silence alone proves nothing: the server is asked over a second connection whether it is there.
 */
export class SilenceWatch {
  readonly #options: SilenceOptions
  #timer: NodeJS.Timeout | undefined
  /** How many answers were waited for: what was begun for an earlier one says nothing of a later one. */
  #waits = 0

  constructor(options: SilenceOptions) {
    this.#options = options
  }

  /** The server owes an answer from now on. */
  start(): void {
    this.stop()
    const wait = this.#waits
    this.#timer = setTimeout(() => void this.#check(wait), this.#options.timeout)
    // What keeps the process alive is the connection.
    this.#timer.unref()
  }

  /** The server has answered. */
  stop(): void {
    this.#waits++
    clearTimeout(this.#timer)
  }

  async #check(wait: number): Promise<void> {
    const { client, timeout, code, onLost } = this.#options
    try {
      await reach(client, Math.min(answerTimeout, timeout))
      if (wait === this.#waits) this.start()
    } catch (cause) {
      if (wait !== this.#waits) return
      const message = `The server has been silent for ${timeout} ms and cannot be reached.`
      onLost(new JobError(code, message, { cause, isTransient: true }))
    }
  }
}

/** Resolves when the server of a client answers on a new connection. Rejects when it cannot be reached in time. */
function reach(client: object, timeout: number): Promise<void> {
  const { host = 'localhost', port = 5432 } = client as { host?: string; port?: number }
  return new Promise((resolve, reject) => {
    const path = `${host}/.s.PGSQL.${port}`
    const socket = host.startsWith('/') ? openSocket(path) : openSocket(port, host)
    const timer = setTimeout(() => {
      socket.destroy(new Error(`The server gave no answer on a new connection within ${timeout} ms.`))
    }, timeout)
    socket.on('connect', () => socket.write(sslRequest))
    socket.on('error', reject)
    socket.on('close', () => {
      clearTimeout(timer)
      reject(new Error('The server closed a new connection without an answer.'))
    })
    socket.once('data', () => {
      resolve()
      socket.destroy()
    })
  })
}
