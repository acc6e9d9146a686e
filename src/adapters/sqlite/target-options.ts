import { checkOptions, type Rule, rule } from '../../adapter.js'
import { checkWriteMode } from '../shared/index.js'
import type { SqliteDatabase } from './client/index.js'

/** The options of {@link sqliteTarget}. */
export interface SqliteTargetOptions {
  /** The file, instead of `database`. It must exist, unless `createTable` is set. A relative path starts at the working directory of the call. */
  path?: string
  /**
   * An open database of node:sqlite, better-sqlite3 or libsql, instead of `path`. Its file is written over a connection of headgate's own, by the
   * same driver. It stays open.
   */
  database?: SqliteDatabase
  /** The table. It must exist, unless `createTable` is set. */
  table: string
  /**
   * Creates the file and the table when they are missing, with the columns of the query, as datasources of databases give them, and with
   * the primary key `key`. A run that reads nothing creates it too, when the columns are known. Default `false`.
   */
  createTable?: boolean
  /**
   * How long a job waits for a lock that another connection holds, in milliseconds, without blocking the process. Then it fails with a
   * transient error. Default 10,000.
   */
  lockTimeout?: number
  /** `insert`, the default, inserts every record. `upsert` updates the row with the key of the record, or inserts it. */
  mode?: 'insert' | 'upsert'
  /**
   * What a full refresh does with the rows of earlier runs. `truncate` deletes them in the transaction of the first new rows, also those of
   * other jobs that write to the table, whose next runs then act by `ifTargetReset`. `merge` updates those with the key of a record, and
   * leaves the others: only with the mode `upsert`. `refuse` lets the start fail. Default: `merge` with the mode `upsert`, otherwise `refuse`.
   */
  onFullRefresh?: 'truncate' | 'merge' | 'refuse'
  /**
   * The key columns of `upsert`: exactly those of the primary key or of another unique index. With `createTable`, also the primary key of the
   * created table.
   */
  key?: string | readonly string[]
  /**
   * Whether `upsert` leaves a row as it is that has the values of the record already: nothing is written, and no trigger runs. Default `false`:
   * every row is updated.
   */
  skipUnchanged?: boolean
  /**
   * Maps columns of the records to columns of the table, such as `{ id: 'user_id' }`. Other columns are left out. Default: every column,
   * under its own name.
   */
  columns?: Readonly<Record<string, string>>
  /** The table that holds checkpoints. headgate creates it when it is missing. Default `headgate_checkpoint`. */
  checkpoints?: string
}

/** The default table of checkpoints. */
export const defaultCheckpoints = 'headgate_checkpoint'

const aName = 'a name without NUL'

const nameRule: Rule = { accepts: isName, expected: aName }

const columnsRule: Rule = {
  accepts: (value) => rule.anObject.accepts(value) && !Array.isArray(value) && areNames(Object.values(value as object)),
  expected: `an object with names of the table's columns, each of them once: ${aName}`,
}

const keyRule: Rule = {
  accepts: (value) => areNames([value].flat()),
  expected: `the name of a column, or an array of such names: each ${aName}`,
}

const rules = {
  path: rule.optional(rule.text),
  database: rule.optional(rule.having('exec', 'prepare', 'close')),
  table: nameRule,
  createTable: rule.optional(rule.flag),
  lockTimeout: rule.optional(rule.milliseconds(1, 2 ** 31 - 1)),
  mode: rule.optional(rule.oneOf('insert', 'upsert')),
  onFullRefresh: rule.optional(rule.oneOf('truncate', 'merge', 'refuse')),
  key: rule.optional(keyRule),
  skipUnchanged: rule.optional(rule.flag),
  columns: rule.optional(columnsRule),
  checkpoints: rule.optional(nameRule),
}

function isName(value: unknown): boolean {
  return typeof value === 'string' && value !== '' && !value.includes('\0') && value.isWellFormed()
}

/** Whether these are distinct valid names. */
function areNames(names: unknown[]): boolean {
  return names.length > 0 && names.every(isName) && new Set(names).size === names.length
}

/** Throws `invalid_options` unless the options are valid and fit together. */
export function checkTargetOptions(options: SqliteTargetOptions): void {
  checkOptions('options', options, rules)
  checkWriteMode(options)
}
