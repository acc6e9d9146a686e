import { JobError } from '../../../adapter.js'
import { hasVersions, migrations, migrationTo, type Names, versionOf } from './migrations.js'
import { deniedError, isDenied, rightsIn } from './missing-rights.js'

/** A client that runs statements, such as PGlite. */
export interface PostgresQueryable {
  /** Runs one statement, with values for `$1`, `$2` and so on. */
  query(text: string, values?: (string | null)[]): Promise<{ rows: unknown[] }>
}

/** A statement. One with a name may be prepared under it. */
export interface Statement {
  readonly text: string
  readonly values: (string | null)[]
  readonly name?: string
  /** Whether it has no timeout. */
  readonly isLong?: boolean
}

/** Runs a statement. */
export type Run = (statement: Statement) => Promise<{ rows: unknown[] }>

/** A row of text values, which do not depend on type parsers. */
export type TextRow = Readonly<Record<string, string | null>>

/** A value of a statement. */
export type Value = string | number | null | undefined

/** How often a statement is repeated after a serialization conflict. */
const maxRaces = 20

/**
 * SQLSTATEs for a statement that is already or not prepared, from proxies that do not separate prepared statements:
 * `duplicate_prepared_statement` and `invalid_sql_statement_name`.
 */
const badlyPrepared = ['42P05', '26000']

/** The SQLSTATE for a prepared statement whose result types have changed: `feature_not_supported`. */
const outdated = '0A000'

/** SQLSTATEs for a transaction that lost a conflict: `serialization_failure` and `deadlock_detected`. */
const lostRace = ['40001', '40P01']

/** Runs statements, after creating or upgrading the schema. */
export class Database {
  readonly #run: Run
  readonly #names: Names
  readonly #whenOpen: () => void
  #opened: Promise<void> | undefined
  #prepares = true
  /** How often statements were prepared again, as a part of their names. */
  #preparation = 0

  constructor(run: Run, names: Names, whenOpen: () => void) {
    this.#run = run
    this.#names = names
    this.#whenOpen = whenOpen
  }

  /**
   * Runs a statement, after the schema is up to date. A named statement keeps its plan, so its best plan must not
   * depend on the values.
   */
  async query(text: string, values: readonly Value[] = [], name?: string): Promise<readonly TextRow[]> {
    try {
      // A failed migration is not cached: the next statement tries again.
      this.#opened ??= this.#migrate().catch((error) => {
        this.#opened = undefined
        throw error
      })
      await this.#opened
      return await this.#ask({ text, values: values.map(textOf), ...(name !== undefined && { name }) })
    } catch (error) {
      throw isDenied(error) ? await this.#explain(error) : error
    }
  }

  /** Names the grant that a refused statement lacks. */
  async #explain(error: unknown): Promise<unknown> {
    const rights = await this.#ask({ text: rightsIn(this.#names), values: [] }).catch(() => [])
    return rights[0] ? deniedError(error, this.#names, rights[0] as Parameters<typeof deniedError>[2]) : error
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
        // If another process has migrated the schema, its version has changed.
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
