import { copyFile, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type pg from 'pg'
import type { Place } from './world.js'

/** Tables of the target, and of the model. */
const ofTarget = ['copy', 'headgate_checkpoint', 'dead']
const ofModel = ['model', 'loaded']

/** What was there when the job was done for the first time: some of it may be put back later, as from a backup. */
export class Backup {
  readonly #pool: pg.Pool
  readonly #folder: string

  constructor(pool: pg.Pool, folder: string) {
    this.#pool = pool
    this.#folder = folder
  }

  /** Saves all, while no registry is open. */
  async save({ storage }: Place): Promise<void> {
    for (const table of [...ofTarget, ...ofModel]) {
      const names = await this.#namesOf(table)
      if (names !== undefined) await this.#pool.query(`create table saved_${table} as select ${names} from ${table}`)
    }
    await this.#copyStorage(String(storage), 'saved')
  }

  /** Puts the rows of the target back, its checkpoints, and the model with them. Gives whether there were any. */
  async restoreTarget(): Promise<boolean> {
    if ((await this.#namesOf('saved_copy')) === undefined) return false
    await this.#restore([...ofTarget, ...ofModel])
    return true
  }

  /** Puts the model back. */
  async restoreModel(): Promise<void> {
    await this.#restore(ofModel)
  }

  /** Puts a storage in SQLite back, as that of another number. */
  async restoreStorage({ storage }: Place): Promise<void> {
    await this.#copyStorage('saved', String(storage))
  }

  async #restore(tables: readonly string[]): Promise<void> {
    for (const table of tables) {
      const names = await this.#namesOf(`saved_${table}`)
      if (names === undefined) continue
      await this.#pool.query(
        `truncate ${table}; insert into ${table} (${names}) overriding system value select ${names} from saved_${table}`,
      )
    }
  }

  async #copyStorage(from: string, to: string): Promise<void> {
    const [source, copy] = [`jobs-${from}.db`, `jobs-${to}.db`]
    const filesOf = async (name: string) => (await readdir(this.#folder)).filter((file) => file.startsWith(name))
    try {
      for (const file of await filesOf(source)) {
        await copyFile(join(this.#folder, file), join(this.#folder, `${copy}${file.slice(source.length)}`))
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      // A process that closes has moved the log of SQLite into the file, which was copied before.
      for (const file of await filesOf(copy)) await rm(join(this.#folder, file))
      await this.#copyStorage(from, to)
    }
  }

  /** The columns of a table that can be written; `undefined` when there is no such table. */
  async #namesOf(table: string): Promise<string | undefined> {
    const { rows } = await this.#pool.query(
      `select string_agg(quote_ident(attname), ', ' order by attnum) as names from pg_attribute
        where attrelid = to_regclass($1) and attnum > 0 and not attisdropped and attgenerated = ''`,
      [table],
    )
    return rows[0].names ?? undefined
  }
}
