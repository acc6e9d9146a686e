import { JobError } from '../index.js'
import { hasVersions, migrations, migrationTo, type Names, versionOf } from './_postgres-schema.js'

/** Anything that runs a statement: a pool or client of pg, PGlite, or a function of your own in an object. */
export interface PostgresQueryable {
  /** Runs one statement, with values for `$1`, `$2` and so on. */
  query(text: string, values?: (string | null)[]): Promise<{ rows: unknown[] }>
}

/** A row as every statement of this storage asks for it: text, so that nobody's type parsers matter. */
export type TextRow = Readonly<Record<string, string | null>>

/** A value for a statement: text, or nothing. */
export type Value = string | number | null | undefined

/** How often a statement is sent again that lost a race in a database whose transactions are serializable. */
const maxRaces = 20

/** A transaction that lost a race: `serialization_failure` and `deadlock_detected`. */
const lostRace = ['40001', '40P01']

/** Sends statements, once the schema is there. */
export class Database {
  readonly #client: PostgresQueryable
  readonly #names: Names
  #opened: Promise<void> | undefined

  constructor(client: PostgresQueryable, names: Names) {
    this.#client = client
    this.#names = names
  }

  /** Runs a statement, after the schema was brought up to date. */
  async query(text: string, values: readonly Value[] = []): Promise<readonly TextRow[]> {
    // A failed first connection is not kept: the next statement tries again.
    this.#opened ??= this.#migrate().catch((error) => {
      this.#opened = undefined
      throw error
    })
    await this.#opened
    return this.ask(text, values)
  }

  /** Runs a statement whatever the schema. */
  async ask(text: string, values: readonly Value[] = []): Promise<readonly TextRow[]> {
    const texts = values.map(textOf)
    for (let race = 1; ; race++) {
      try {
        const { rows } = await this.#client.query(text, texts)
        return rows as TextRow[]
      } catch (error) {
        if (race === maxRaces || !lostRace.includes(Object(error).code)) throw error
      }
    }
  }

  async #migrate(): Promise<void> {
    const newest = migrations.length
    for (let version = await this.#version(); version < newest; version = await this.#version()) {
      try {
        await this.ask(migrationTo(version + 1, this.#names))
      } catch (error) {
        // Lost to another process, where the transaction saw nothing of it: then the schema has moved on.
        if ((await this.#version()) === version) throw error
      }
    }
  }

  async #version(): Promise<number> {
    const [there] = await this.ask(hasVersions(this.#names))
    if (there?.answer !== 'true') return 0
    const [newest] = await this.ask(versionOf(this.#names))
    const version = Number(newest?.answer)
    if (version <= migrations.length) return version
    const { schema } = this.#names
    const known = `this headgate knows versions up to ${migrations.length}`
    throw new JobError('storage', `Schema ${schema} has version ${version}, but ${known}: use a newer headgate.`)
  }
}

function textOf(value: Value): string | null {
  return value === undefined || value === null ? null : String(value)
}
