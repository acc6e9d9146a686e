import { from as copyFrom } from 'pg-copy-streams'
import { succeedsWithin, systemClock } from '../index.js'
import { cancelUntilIdle } from '../postgres/cancel.js'
import { failure, isConnectionLost } from '../postgres/errors.js'
import { connect, type PostgresClient, type PostgresPool } from '../postgres/pool.js'
import { defaultSilenceTimeout, SilenceWatch } from '../postgres/silence.js'

/** A row of a result. */
export type ResultRow = Record<string, unknown>

type CopyStream = ReturnType<typeof copyFrom>

interface Result {
  readonly rows: ResultRow[]
}

/** How long the server may take to let go of a statement, or to end one after an abort, in milliseconds. */
const grace = 1000

/** A pool may hold this many connections that broke while nobody used them, and know nothing of it yet. */
const maxBroken = 10

/** What COPY's binary format begins with: its name, no flags, nothing more. */
const binaryHeader = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1')

/** How much is on its way to the server before a COPY has to wait, in bytes. */
const copyBuffer = 1 << 18

/**
 * One connection, from the moment it is taken to that in which it is given back. An abort fails what the server is at. What is
 * asked after it, to make durable what was taken before, has a second.
 */
export class Session {
  readonly #client: PostgresClient
  readonly #signal: AbortSignal
  readonly #silence: SilenceWatch
  /** Fails whoever waits for the server. */
  #interrupt: (reason: unknown) => void = ignore
  /** What ended the use of the connection. */
  #failure: { reason: unknown } | undefined
  /** What the server said when it refused the COPY. */
  #refusal: unknown
  #isBusy = false
  /** What goes before the next statement. */
  #lead = ''
  #copy: CopyStream | undefined
  #released: Promise<void> | undefined

  private constructor(client: PostgresClient, signal: AbortSignal, silenceTimeout: number) {
    this.#client = client
    this.#signal = signal
    this.#silence = new SilenceWatch({ client, timeout: silenceTimeout, code: 'target', onLost: this.#fail })
    client.on('error', this.#fail)
    signal.addEventListener('abort', this.#abort)
  }

  /** Takes a connection that works: one that turns out to be broken, before it did anything, is passed over. */
  static async open(pool: PostgresPool, signal: AbortSignal, silenceTimeout = defaultSilenceTimeout): Promise<Session> {
    for (let broken = 0; ; broken++) {
      const client = await connect(pool, signal, (cause) => failure('target', 'Could not reach the server', cause))
      const session = new Session(client, signal, silenceTimeout)
      try {
        await session.query('select 1')
        return session
      } catch (error) {
        await session.release()
        if (signal.aborted || !isConnectionLost(error) || broken === maxBroken) throw error
      }
    }
  }

  /** Statements that go to the server together with the next one, in one round trip. */
  lead(statements: string): void {
    this.#lead = `${statements};`
  }

  /** The rows that a statement gives; of several statements, the last one. */
  async query(text: string, values?: readonly unknown[]): Promise<ResultRow[]> {
    // Several statements in one text cannot have values.
    if (values && this.#lead) await this.query('')
    const query = values ? { text, values: [...values] } : { text: this.#led(text) }
    const result = (await this.#ask(async () => this.#client.query(query))) as Result | Result[]
    return [result].flat().at(-1)?.rows ?? []
  }

  /** Begins a COPY to a table, in its binary or its text format, which goes on until `endCopy`. */
  startCopy(into: string, isBinary: boolean): void {
    const format = isBinary ? ' with (format binary)' : ''
    const copy = copyFrom(this.#led(`copy ${into} from stdin${format}`), { highWaterMark: copyBuffer })
    // It listens for as long as the stream is there: one that was destroyed may fail again.
    copy.on('error', (error) => this.#failCopy(copy, error))
    this.#copy = copy
    this.#client.query(copy)
    if (isBinary) copy.write(binaryHeader)
  }

  /** Sends a piece of the COPY. Resolves at once, or when there is room for the next one. */
  async writeCopy(piece: string | Uint8Array): Promise<void> {
    if (this.#failure) throw this.#failure.reason
    const copy = this.#copy
    if (copy?.write(piece)) return
    await this.#ask(() => new Promise((resolve) => copy?.once('drain', resolve)))
  }

  /** Ends the COPY, if there is one: its rows are in the table. */
  async endCopy(): Promise<void> {
    const copy = this.#copy
    if (!copy) return
    await this.#ask(() => new Promise((resolve) => copy.once('finish', resolve).end()))
    this.#copy = undefined
  }

  /** Whether the connection can be used: not after an abort, after it was lost, or during a COPY that was refused. */
  get isSound(): boolean {
    return this.#failure === undefined
  }

  /** Ends a COPY that the server has refused: the connection can be used again. */
  forgiveCopy(): void {
    const copy = this.#copy
    if (!copy || !this.#failure || this.#failure.reason !== this.#refusal || isConnectionLost(this.#refusal)) return
    this.#copy = undefined
    this.#failure = undefined
    this.#isBusy = false
  }

  /**
   * Gives the connection back after `last`. One that the server is at, or that failed, is closed, after what the server is at was
   * cancelled: it then rolls back. Never rejects.
   */
  release(last?: string): Promise<void> {
    this.#released ??= this.#release(last)
    return this.#released
  }

  #led(text: string): string {
    const led = this.#lead + text
    this.#lead = ''
    return led
  }

  readonly #abort = () => {
    if (this.#isBusy) this.#fail(this.#signal.reason)
  }

  readonly #fail = (reason: unknown) => {
    this.#failure ??= { reason }
    this.#silence.stop()
    this.#interrupt(reason)
    this.#destroyCopy()
  }

  #failCopy(copy: CopyStream, error: unknown): void {
    if (copy !== this.#copy) return
    this.#refusal = error
    this.#fail(error)
  }

  /** Ends a COPY early: what is buffered would else be written to a connection that the stream no longer has, and throw. */
  #destroyCopy(): void {
    this.#copy?.destroy()
  }

  /** Lets the server work until it answers, or is interrupted. */
  #ask<Answer>(work: () => Promise<Answer>): Promise<Answer> {
    return new Promise<Answer>((resolve, reject) => {
      if (this.#failure) throw this.#failure.reason
      const timer = this.#signal.aborted ? setTimeout(() => this.#fail(this.#signal.reason), grace) : undefined
      this.#interrupt = reject
      this.#isBusy = true
      this.#silence.start()
      // Before whoever waits for the answer asks for more.
      const settle = () => {
        clearTimeout(timer)
        this.#silence.stop()
        this.#isBusy = false
      }
      work().finally(settle).then(resolve, reject)
    })
  }

  async #release(last: string | undefined): Promise<void> {
    this.#signal.removeEventListener('abort', this.#abort)
    const isAtRest = !this.#isBusy && !this.#copy && !this.#failure
    this.#destroyCopy()
    const resting = isAtRest ? this.#say(last) : this.#cancel()
    const isClean = (await succeedsWithin(systemClock, grace, resting)) && isAtRest
    this.#client.release(!isClean)
    this.#client.off('error', this.#fail)
  }

  /** The server is idle when it comes to what waits behind the statement that it is at. */
  async #cancel(): Promise<void> {
    await cancelUntilIdle('target', this.#client, this.#say('rollback'), grace)
  }

  async #say(last: string | undefined): Promise<void> {
    if (last) await this.#client.query({ text: last })
  }
}

function ignore(): void {}
