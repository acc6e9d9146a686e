import { checkOptions, type Rule, rule } from '../../adapter.js'
import { checkOneOption, checkTableParts, checkWriteMode } from '../shared/index.js'
import { aName, isName, type MysqlPool, type MysqlTableName } from './client/index.js'

/** The options of {@link mysqlTarget}. */
export interface MysqlTargetOptions {
  /** A pool of `mysql2` or of `mysql2/promise`, instead of `connectionString`. It stays open. A running job uses one connection. */
  pool?: MysqlPool
  /** The address of the server, such as `mysql://user@host/database`. The connection is open while a job runs. */
  connectionString?: string
  /**
   * The table: `name`, `database.name`, or an object with both for names that contain a dot. It must exist and be one of InnoDB, unless
   * `createTable` is set.
   */
  table: string | MysqlTableName
  /**
   * Creates the table when it is missing, with the columns of the query, as datasources of databases give them, and with the primary
   * key `key`. A run that reads nothing creates it too, when the columns are known. Default `false`.
   */
  createTable?: boolean
  /**
   * `append`, the default, adds records to the table. `replace` loads all records into a staging table, then replaces the table in one step.
   */
  strategy?: 'append' | 'replace'
  /**
   * How `replace` swaps. `rename` gives the staging table the name of the table. `rows` changes the rows of the table in one transaction, so
   * that foreign keys and triggers stay. Default: `rename`, unless the table has foreign keys or triggers, or foreign keys refer to it.
   */
  swap?: 'rename' | 'rows'
  /**
   * The largest share of rows that `replace` may remove, from 0 to 1. With 0.5, the default, the job fails when fewer than half of the rows
   * would be left. 1 allows any number, also none.
   */
  maxShrink?: number
  /**
   * How long the server waits for a lock, in milliseconds, rounded up to seconds. A swap `rename` waits in ten
   * attempts, with pauses in between. Then the job fails with a transient error. Default 50,000.
   */
  lockTimeout?: number
  /**
   * How long the server may be silent while a job waits for it, in milliseconds. Then headgate contacts the server over a second connection.
   * If it cannot be reached, the job fails with a transient error. A long statement is not affected. Default 60,000.
   */
  silenceTimeout?: number
  /**
   * `insert`, the default, inserts every record. `upsert` updates the row with the key of the record, or inserts it.
   */
  mode?: 'insert' | 'upsert'
  /**
   * What a full refresh does with the rows of earlier runs, without the strategy `replace`. `truncate` deletes them in the transaction of the first new rows, also those of
   * other jobs that write to the table, whose next runs then act by `ifTargetReset`. `merge` updates those with the key of a record, and
   * leaves the others: only with the mode `upsert`. `refuse` lets the start fail. Default: `merge` with the mode `upsert`, otherwise `refuse`.
   */
  onFullRefresh?: 'truncate' | 'merge' | 'refuse'
  /**
   * The key columns of `upsert`: exactly those of the primary key or of a unique key, beside which the table has no other one. With
   * `createTable`, also the primary key of the created table.
   */
  key?: string | readonly string[]
  /**
   * Maps columns of the records to columns of the table, such as `{ id: 'user_id' }`. Other columns are left out. Default: every column,
   * under its own name.
   */
  columns?: Readonly<Record<string, string>>
  /**
   * The table that holds checkpoints. headgate creates it when it is missing. Default: `headgate_checkpoint` in the database of the table.
   */
  checkpoints?: string | MysqlTableName
}

/** The default table of checkpoints, in the database of the table. */
export const defaultCheckpoints = 'headgate_checkpoint'

/** How long the server waits for a lock by default, in milliseconds. */
export const defaultLockTimeout = 50_000

const tableRule: Rule = {
  accepts: (value) => (typeof value === 'string' ? isTableText(value) : isTableName(value)),
  expected: `\`name\`, \`database.name\` or an object with \`name\` and perhaps \`database\`: each ${aName}`,
}

const columnsRule: Rule = {
  accepts: (value) => rule.anObject.accepts(value) && !Array.isArray(value) && areNames(Object.values(value as object)),
  expected: `an object with names of the table's columns, each of them once: ${aName}`,
}

const keyRule: Rule = {
  accepts: (value) => areNames([value].flat()),
  expected: `the name of a column, or an array of such names: each ${aName}`,
}

function isTableText(text: string): boolean {
  return /^[^.`]+(\.[^.`]+)?$/.test(text) && text.split('.').every(isName)
}

function isTableName(value: unknown): boolean {
  const { database, name } = Object(value) as Partial<MysqlTableName>
  return isName(name) && (database === undefined || isName(database))
}

const rules = {
  pool: rule.optional(rule.having('getConnection')),
  connectionString: rule.optional(rule.text),
  table: tableRule,
  createTable: rule.optional(rule.flag),
  strategy: rule.optional(rule.oneOf('append', 'replace')),
  swap: rule.optional(rule.oneOf('rename', 'rows')),
  maxShrink: rule.optional(rule.share),
  lockTimeout: rule.optional(rule.milliseconds(1, 2 ** 30)),
  silenceTimeout: rule.optional(rule.milliseconds(1, 2 ** 31 - 1)),
  mode: rule.optional(rule.oneOf('insert', 'upsert')),
  onFullRefresh: rule.optional(rule.oneOf('truncate', 'merge', 'refuse')),
  key: rule.optional(keyRule),
  columns: rule.optional(columnsRule),
  checkpoints: rule.optional(tableRule),
}

const nameRule: Rule = { accepts: isName, expected: aName }

/** Whether these are distinct valid names. */
function areNames(names: unknown[]): boolean {
  return names.length > 0 && names.every(isName) && new Set(names).size === names.length
}

/** Throws `invalid_options` unless the options are valid and fit together. */
export function checkTargetOptions(options: MysqlTargetOptions): void {
  checkTableParts(options, 'database', nameRule)
  checkOptions('options', options, rules)
  checkOneOption(options, ['pool', 'connectionString'])
  checkWriteMode(options)
}
