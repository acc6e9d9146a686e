import { checkOptions, type Rule, rule } from '../../adapter.js'
import { checkOneOption, checkTableParts, checkWriteMode } from '../shared/index.js'
import { aName, isName, type PostgresPool, poolRule, type TableName } from './client/index.js'

/** The options of {@link postgresTarget}. */
export interface PostgresTargetOptions {
  /** A pool of pg, instead of `connectionString`. It stays open. A running job uses `connections` of it. */
  pool?: PostgresPool
  /** The address of the server, such as `postgres://user@host/database`. The connections are open while a job runs. */
  connectionString?: string
  /**
   * How many connections a running job uses, 1 or 2. With 2, the job copies records on one connection while it
   * commits earlier ones on the other, so frequent checkpoints cost little. Jobs with `replace` or `failures` use 1.
   * Default 1.
   */
  connections?: 1 | 2
  /**
   * The table: `name`, `schema.name`, or an object with both for names that contain a dot. It must exist, unless
   * `createTable` is set.
   */
  table: string | TableName
  /**
   * Creates the table when it is missing, with the columns and types (`sqlType`) of the query, as the Postgres
   * datasource gives them, and with the primary key `key`. A run that reads nothing creates it too, when the columns
   * are known. Default `false`.
   */
  createTable?: boolean
  /**
   * `append`, the default, adds records to the table. `replace` loads all records into a staging table, then replaces
   * the rows of the table in one step.
   */
  strategy?: 'append' | 'replace'
  /**
   * How `replace` swaps. `rows`, the default, changes the rows of the table: views, grants, triggers and foreign keys
   * stay, and readers never wait. `rename` puts the staging table in the place of the table.
   */
  swap?: 'rows' | 'rename'
  /**
   * The largest share of rows that `replace` may remove, from 0 to 1. With 0.5, the default, the job fails when fewer
   * than half of the rows would be left. 1 allows any number, also none.
   */
  maxShrink?: number
  /**
   * How long one attempt of a swap waits for a lock on the table, in milliseconds. A swap makes up to ten attempts,
   * with pauses of the same length, so that other sessions can pass. Every other lock is waited for once, ten times
   * as long. Then the job fails with a transient error that names the sessions that hold the lock. Default 5,000.
   */
  lockTimeout?: number
  /**
   * How long the server may be silent while a job waits for it, in milliseconds. Then headgate contacts the server
   * over a second connection. If it cannot be reached, the job fails with a transient error. A long statement is not
   * affected. Default 60,000.
   */
  silenceTimeout?: number
  /**
   * `insert`, the default, inserts every record. `upsert` updates the row with the key of the record, or inserts it.
   */
  mode?: 'insert' | 'upsert'
  /**
   * What a full refresh does with the rows of earlier runs, without the strategy `replace`. `truncate` removes them in the transaction of the
   * first new rows, also those of other jobs that write to the table, whose next runs then act by `ifTargetReset`. `merge` updates those with the key of a record, and leaves the others: only with the mode `upsert`. `refuse` lets the
   * start fail. Default: `merge` with the mode `upsert`, otherwise `refuse`.
   */
  onFullRefresh?: 'truncate' | 'merge' | 'refuse'
  /**
   * The key columns of `upsert`: exactly those of a primary key or of another unique index. With `createTable`, also
   * the primary key of the created table.
   */
  key?: string | readonly string[]
  /**
   * Whether `upsert` leaves a row as it is that has the values of the record already: nothing is written, and no trigger runs. Default `false`:
   * every row is updated.
   */
  skipUnchanged?: boolean
  /**
   * Maps columns of the records to columns of the table, such as `{ id: 'user_id' }`. Other columns are left out.
   * Default: every column, under its own name.
   */
  columns?: Readonly<Record<string, string>>
  /**
   * The table that holds checkpoints. headgate creates it when it is missing. Default: `headgate_checkpoint` in the
   * schema of the table.
   */
  checkpoints?: string | TableName
}

/** The default table of checkpoints, in the schema of the table. */
export const defaultCheckpoints = 'headgate_checkpoint'

/** How long one attempt of a swap waits for a lock by default, in milliseconds. */
export const defaultLockTimeout = 5_000

const tableRule: Rule = {
  accepts: (value) => (typeof value === 'string' ? isTableText(value) : isTableName(value)),
  expected: `\`name\`, \`schema.name\` or an object with \`name\` and perhaps \`schema\`: each ${aName}`,
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
  return /^[^."]+(\.[^."]+)?$/.test(text) && text.split('.').every(isName)
}

function isTableName(value: unknown): boolean {
  const { schema, name } = Object(value) as Partial<TableName>
  return isName(name) && (schema === undefined || isName(schema))
}

const rules = {
  pool: poolRule,
  connectionString: rule.optional(rule.text),
  connections: rule.optional(rule.whole(1, 2)),
  table: tableRule,
  createTable: rule.optional(rule.flag),
  strategy: rule.optional(rule.oneOf('append', 'replace')),
  swap: rule.optional(rule.oneOf('rows', 'rename')),
  maxShrink: rule.optional(rule.share),
  lockTimeout: rule.optional(rule.milliseconds(1, 2 ** 31 - 1)),
  silenceTimeout: rule.optional(rule.milliseconds(1, 2 ** 31 - 1)),
  mode: rule.optional(rule.oneOf('insert', 'upsert')),
  onFullRefresh: rule.optional(rule.oneOf('truncate', 'merge', 'refuse')),
  key: rule.optional(keyRule),
  skipUnchanged: rule.optional(rule.flag),
  columns: rule.optional(columnsRule),
  checkpoints: rule.optional(tableRule),
}

const nameRule: Rule = { accepts: isName, expected: aName }

/** Whether these are distinct valid names. */
function areNames(names: unknown[]): boolean {
  return names.length > 0 && names.every(isName) && new Set(names).size === names.length
}

/** Throws `invalid_options` unless the options are valid and fit together. */
export function checkTargetOptions(options: PostgresTargetOptions): void {
  checkTableParts(options, 'schema', nameRule)
  checkOptions('options', options, rules)
  checkOneOption(options, ['pool', 'connectionString'])
  checkWriteMode(options)
}
