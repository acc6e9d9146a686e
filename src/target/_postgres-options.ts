import { checkOptions, invalid, type Rule, rule } from '../index.js'
import { aName, isName, type TableName } from '../postgres/identifiers.js'
import type { PostgresPool } from '../postgres/pool.js'

/** Which table, and how it is written. */
export interface PostgresTargetOptions {
  /** A pool of pg, which stays open; a running job takes one connection of it. Instead of `connectionString`. */
  pool?: PostgresPool
  /** Where the server is, such as `postgres://user@host/database`: for one connection while a job runs. */
  connectionString?: string
  /**
   * How many connections a running job takes, 1 or 2. With 2, records are copied on one while what was copied before is committed on
   * the other: frequent checkpoints then cost little. With `replace`, and where records that fail are put aside, it takes 1. Default 1.
   */
  connections?: 1 | 2
  /** The table: `name`, `schema.name`, or an object with both for names that have a dot. It must exist, unless `createTable`. */
  table: string | TableName
  /**
   * Makes the table when it is missing: with the columns of the first batch and their types (`sqlType`), as the Postgres datasource
   * gives them, and with the primary key `key`. A run that reads nothing makes none. Default `false`.
   */
  createTable?: boolean
  /**
   * `append`, the default: a run adds to the table. `replace`: a run loads a table beside, which takes the place of the rows that
   * are there when all records are in it, in one step.
   */
  strategy?: 'append' | 'replace'
  /**
   * How `replace` does that. `rows`, the default, changes the rows of the table: views, grants, triggers and foreign keys stay, and
   * readers never wait. `rename` puts the new table in the place of the old one.
   */
  swap?: 'rows' | 'rename'
  /**
   * How much smaller `replace` may make the table, from 0 to 1: with 0.5, the default, it refuses to leave less than half of the rows
   * that are there. 1 allows anything, also to leave none.
   */
  maxShrink?: number
  /**
   * How long `replace` waits for a lock on the table, in milliseconds: up to ten times, with pauses as long, so that nobody else
   * has to wait longer behind it. Default 5,000.
   */
  lockTimeout?: number
  /**
   * How long the server may be silent while a job waits for it, in milliseconds. Then it is asked over a second connection whether it
   * is there; a job whose server cannot be reached fails with an error that passes. A long statement is not affected. Default 60,000.
   */
  silenceTimeout?: number
  /** `insert`, the default, adds every record. `upsert` changes the row that has the record's key, and adds it if there is none. */
  mode?: 'insert' | 'upsert'
  /**
   * The columns of the table that `upsert` tells rows by: exactly those of a primary key or of another unique index. With
   * `createTable`, the primary key of a table that is made.
   */
  key?: string | readonly string[]
  /**
   * Which of the records' columns go to which of the table's, such as `{ id: 'user_id' }`: all others are left out.
   * Default: each to the one of its own name.
   */
  columns?: Readonly<Record<string, string>>
  /** The table that holds checkpoints, which is made when it is missing. Default: `headgate_checkpoint` in the table's schema. */
  checkpoints?: string | TableName
}

const tableRule: Rule = {
  accepts: (value) => (typeof value === 'string' ? isTableText(value) : isTableName(value)),
  expected: `\`name\`, \`schema.name\` or an object with \`name\` and perhaps \`schema\`: each ${aName}`,
}

const columnsRule: Rule = {
  accepts: (value) => typeof value === 'object' && value !== null && areNames(Object.values(value)),
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
  pool: rule.optional(rule.having('connect')),
  connectionString: rule.optional(rule.text),
  connections: rule.optional(rule.whole(1, 2)),
  table: tableRule,
  createTable: rule.optional(rule.flag),
  strategy: rule.optional(rule.oneOf('append', 'replace')),
  swap: rule.optional(rule.oneOf('rows', 'rename')),
  maxShrink: rule.optional(rule.share),
  lockTimeout: rule.optional(rule.whole(1, 2 ** 31 - 1)),
  silenceTimeout: rule.optional(rule.whole(1, 2 ** 31 - 1)),
  mode: rule.optional(rule.oneOf('insert', 'upsert')),
  key: rule.optional(keyRule),
  columns: rule.optional(columnsRule),
  checkpoints: rule.optional(tableRule),
}

/** Whether these are names, each of them once. */
function areNames(names: unknown[]): boolean {
  return names.length > 0 && names.every(isName) && new Set(names).size === names.length
}

/** Throws `invalid_options` unless the options are there and go together. */
export function checkTargetOptions(options: PostgresTargetOptions): void {
  checkOptions('options', options, rules)
  const { pool, connectionString, mode, key, createTable, strategy } = options
  if ((pool === undefined) === (connectionString === undefined)) {
    throw invalid('options', 'an object with either `pool` or `connectionString`', options)
  }
  if (mode === 'upsert' ? key === undefined : key !== undefined && !createTable)
    throw invalid('key', 'there with the mode `upsert`, and only then or with `createTable`', key)
  if (strategy === 'replace') {
    if (mode === 'upsert') throw invalid('mode', '`insert` with the strategy `replace`, which takes every record', mode)
    return
  }
  for (const name of ['swap', 'maxShrink', 'lockTimeout'] as const) {
    if (options[name] !== undefined) throw invalid(name, 'absent without the strategy `replace`', options[name])
  }
}
