import { JobError } from '../index.js'
import { hasVersions, migrations, migrationTo, type Names, versionOf } from './_postgres-schema.js'

/** Anything that runs a statement, such as PGlite. */
export interface PostgresQueryable {
  /** Runs one statement, with values for `$1`, `$2` and so on. */
  query(text: string, values?: (string | null)[]): Promise<{ rows: unknown[] }>
}

/** A statement on its way: one with a name may be prepared under it. */
export interface Statement {
  readonly text: string
  readonly values: (string | null)[]
  readonly name?: string
  /** Whether it may take as long as it needs. */
  readonly isLong?: boolean
}

/** Runs a statement. */
export type Run = (statement: Statement) => Promise<{ rows: unknown[] }>

/** A row as every statement of this storage asks for it: text, so that nobody's type parsers matter. */
export type TextRow = Readonly<Record<string, string | null>>

/** A value for a statement: text, or nothing. */
export type Value = string | number | null | undefined

/** How often a statement is sent again that lost a race in a database whose transactions are serializable. */
const maxRaces = 20

/**
 * A statement that is prepared already, or not: `duplicate_prepared_statement` and `invalid_sql_statement_name`. Some
 * proxies do not keep them apart.
 */
const badlyPrepared = ['42P05', '26000']

/** A prepared statement whose columns have other types by now: `feature_not_supported`, that a cached plan changes its result. */
const outdated = '0A000'

/** A transaction that lost a race: `serialization_failure` and `deadlock_detected`. */
const lostRace = ['40001', '40P01']

/** Sends statements, once the schema is there. */
export class Database {
  readonly #run: Run
  readonly #names: Names
  readonly #whenOpen: () => void
  #opened: Promise<void> | undefined
  #prepares = true
  /** How often statements were prepared anew: part of their names. */
  #preparation = 0

  constructor(run: Run, names: Names, whenOpen: () => void) {
    this.#run = run
    this.#names = names
    this.#whenOpen = whenOpen
  }

  /**
   * Runs a statement, after the schema was brought up to date. With a name, its plan is kept: a good plan must then be the
   * same whatever the values.
   */
  async query(text: string, values: readonly Value[] = [], name?: string): Promise<readonly TextRow[]> {
    // A failed first connection is not kept: the next statement tries again.
    this.#opened ??= this.#migrate().catch((error) => {
      this.#opened = undefined
      throw error
    })
    await this.#opened
    return this.#ask({ text, values: values.map(textOf), ...(name !== undefined && { name }) })
  }

  async #ask({ name, ...statement }: Statement): Promise<readonly TextRow[]> {
    for (let race = 1; ; race++) {
      const preparation = this.#preparation
      try {
        const { rows } = await this.#run({ ...statement, ...this.#nameOf(name) })
        return rows as TextRow[]
      } catch (error) {
        const { code } = Object(error) as { code?: unknown }
        if (badlyPrepared.includes(String(code))) this.#prepares = false
        else if (code === outdated) this.#preparation = Math.max(this.#preparation, preparation + 1)
        else if (!lostRace.includes(String(code))) throw error
        if (race === maxRaces) throw error
      }
    }
  }

  #nameOf(name: string | undefined): Pick<Statement, 'name'> {
    if (name === undefined || !this.#prepares) return {}
    return { name: this.#preparation === 0 ? name : `${name}_${this.#preparation}` }
  }

  async #migrate(): Promise<void> {
    const newest = migrations.length
    for (let version = await this.#version(); version < newest; version = await this.#version()) {
      try {
        await this.#ask({ text: migrationTo(version + 1, this.#names), values: [], isLong: true })
      } catch (error) {
        // Lost to another process, where the transaction saw nothing of it: then the schema has moved on.
        if ((await this.#version()) === version) throw error
      }
    }
    this.#whenOpen()
  }

  async #version(): Promise<number> {
    const [there] = await this.#ask({ text: hasVersions(this.#names), values: [] })
    if (there?.answer !== 'true') return 0
    const [newest] = await this.#ask({ text: versionOf(this.#names), values: [] })
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
