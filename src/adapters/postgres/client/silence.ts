import { connect as openSocket } from 'node:net'
import { JobError, type JobErrorCode } from '../../../adapter.js'

/** How long a server may be silent before headgate checks that it can be reached, in milliseconds. */
export const defaultSilenceTimeout = 60_000

/** How long the server may take to answer that check, in milliseconds. */
const answerTimeout = 10_000

/** The request that every Postgres server and every pooler answers with one byte, before a login. */
const sslRequest = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f])

/** What a {@link SilenceWatch} needs. */
export interface SilenceOptions {
  /** The client of pg that waits for its server. */
  readonly client: object
  /** How long the server may be silent, in milliseconds. */
  readonly timeout: number
  /** The code of the error. */
  readonly code: JobErrorCode
  /** Called once when the server cannot be reached. */
  onLost(error: JobError): void
}

/**
 * Detects a server that vanished without closing the connection, for example behind a network that drops packets. A
 * long query is silent too, so the watch also contacts the server over a second connection.
 */
export class SilenceWatch {
  readonly #options: SilenceOptions
  #timer: NodeJS.Timeout | undefined
  /** Counts the waits. A check that started in an earlier wait says nothing about a later one. */
  #waits = 0

  constructor(options: SilenceOptions) {
    this.#options = options
  }

  /** Starts to wait for an answer of the server. */
  start(): void {
    this.stop()
    const wait = this.#waits
    this.#timer = setTimeout(() => void this.#check(wait), this.#options.timeout)
    // The connection keeps the process alive, not this timer.
    this.#timer.unref()
  }

  /** Stops the wait: the server has answered. */
  stop(): void {
    this.#waits++
    clearTimeout(this.#timer)
  }

  async #check(wait: number): Promise<void> {
    const { client, timeout, code, onLost } = this.#options
    try {
      await ping(client, Math.min(answerTimeout, timeout))
      if (wait === this.#waits) this.start()
    } catch (cause) {
      if (wait !== this.#waits) return
      const message = `The server has been silent for ${timeout} ms and cannot be reached.`
      onLost(new JobError(code, message, { cause, isTransient: true }))
    }
  }
}

/** Resolves when the server of a client answers on a new connection. Rejects when it cannot be reached in time. */
function ping(client: object, timeout: number): Promise<void> {
  const { host = 'localhost', port = 5432 } = client as { host?: string; port?: number }
  return new Promise((resolve, reject) => {
    const path = `${host}/.s.PGSQL.${port}`
    const socket = host.startsWith('/') ? openSocket(path) : openSocket(port, host)
    const timer = setTimeout(() => {
      socket.destroy(new Error(`The server did not answer on a new connection within ${timeout} ms.`))
    }, timeout)
    socket.on('connect', () => socket.write(sslRequest))
    socket.on('error', reject)
    socket.on('close', () => {
      clearTimeout(timer)
      reject(new Error('The server closed a new connection without answering.'))
    })
    socket.once('data', () => {
      resolve()
      socket.destroy()
    })
  })
}
