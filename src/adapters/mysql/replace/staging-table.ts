import { rule, type TargetResumption } from '../../../adapter.js'
import { damagedKept } from '../../shared/index.js'
import { sqlOf } from '../client/index.js'
import type { TargetTools } from '../copy/index.js'
import type { LineGroup } from '../lines/index.js'
import { hasSameDefinition, type Table } from '../table/index.js'
import { WriteSession } from '../write/index.js'

/** What the checkpoint row keeps. `staged` counts the rows in the staging table. */
interface Kept {
  readonly staged: number
  readonly checkpoint: unknown
}

/** How long dropping the staging table may take after a failure, in milliseconds. */
const discardTimeout = 5000

/**
 * The table beside the real one that a job loads. Its next executions continue it, or drop it when they restart. The server commits `create
 * table` and `drop table` at once, so a checkpoint that counts rows of it is removed before it is dropped.
 */
export class StagingTable {
  readonly sql: string
  /** The name that the real table has once it was replaced, until it is dropped, as SQL. */
  readonly old: string
  readonly #name: string
  readonly #tools: TargetTools
  /** The table whose shape it has. */
  #table: Table | undefined
  #rows = 0
  #isContinued = false

  constructor(tools: TargetTools) {
    const { ref, fence } = tools
    const { database } = ref
    // A name has up to 64 characters.
    this.#name = `${[...ref.name].slice(0, 40).join('')}_headgate_${fence.mark}`
    this.sql = sqlOf({ database, name: this.#name })
    this.old = sqlOf({ database, name: `${this.#name}_old` })
    this.#tools = tools
  }

  /** Whether the checkpoint row is that of a job that replaces. The job may append now. */
  static hasKept(kept: unknown): boolean {
    return Object.hasOwn(Object(kept), 'staged')
  }

  /** Continues the table of an earlier execution when the job resumes and the real one exists. Otherwise drops it. */
  async begin(table: Table | undefined, kept: unknown): Promise<TargetResumption> {
    const { session, context } = this.#tools
    const { staged, checkpoint } = Object(kept) as Partial<Kept>
    if (staged !== undefined && !rule.whole(0).accepts(staged)) throw damagedKept('staged', 'a whole number from 0 up')
    // An earlier execution may have died before it dropped what it had replaced.
    if (table) await session.query(`drop table if exists ${this.old}`)
    const mayResume = context.isResumed && checkpoint && staged !== undefined
    if (table && mayResume && (await this.#hasShapeOf(table))) {
      this.#table = table
      this.#rows = staged
      this.#isContinued = true
      return { checkpoint }
    }
    await this.drop(session)
    if (table) await this.create(table)
    return context.isResumed ? 'restart' : 'position'
  }

  async create(table: Table): Promise<void> {
    const { session } = this.#tools
    await session.query(`create table ${this.sql} like ${table.sql}`)
    this.#table = table
  }

  /** Counts rows that were written. */
  count(groups: readonly LineGroup[]): void {
    for (const { length } of groups) this.#rows += length
  }

  /** How many rows were written, including those of earlier executions. */
  get rows(): number {
    return this.#rows
  }

  /** Whether it has rows of an earlier execution, or retry. */
  get isContinued(): boolean {
    return this.#isContinued
  }

  /** The table whose shape it has. Undefined until it exists. */
  get table(): Table | undefined {
    return this.#table
  }

  /** What the fence stores as the checkpoint. */
  keptOf(checkpoint: unknown): Kept {
    return { staged: this.#rows, checkpoint }
  }

  /** Drops the table, after the checkpoint that counts its rows. */
  async drop(session: WriteSession): Promise<void> {
    const { fence } = this.#tools
    await fence.transaction(session, () => fence.keep(session, null))
    await session.query(`drop table if exists ${this.sql}`)
  }

  /** Drops it over another connection, because the failed one may be unusable. Leaves it to an execution that has followed. */
  async discard(): Promise<void> {
    const { pool, limits, fence } = this.#tools
    const session = await WriteSession.open(pool, AbortSignal.timeout(discardTimeout), limits)
    try {
      if (await fence.retake(session)) await this.drop(session)
    } finally {
      await session.release(fence.last)
    }
  }

  async #hasShapeOf(table: Table): Promise<boolean> {
    const { session } = this.#tools
    return hasSameDefinition(session, table, { database: table.database, name: this.#name })
  }

  /** Whether it still has the columns and the keys of the table, which may have been altered. */
  get isAlike(): Promise<boolean> {
    return this.#table ? this.#hasShapeOf(this.#table) : Promise.resolve(true)
  }
}
