import { longest, type SessionSettings } from '../client/index.js'

/**
 * What the server does with values that it cannot store as they are: it refuses them. Zeros are stored as they come, in dates and in
 * columns that count by themselves. No quote and no backslash has another meaning than usual.
 */
const sqlMode = "'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO'"

/**
 * The settings of a session that writes. Times are in UTC and texts in UTF-8. No timeout of the server counts the time of the datasource. A
 * lock is waited for `lockSeconds`.
 */
export function writeSettings(lockSeconds: number): SessionSettings {
  return {
    sql_mode: sqlMode,
    time_zone: "'+00:00'",
    character_set_results: 'utf8mb4',
    character_set_connection: 'utf8mb4',
    autocommit: '1',
    completion_type: '0',
    // Otherwise the server tells nothing of values that it cuts.
    sql_notes: '1',
    sql_safe_updates: '0',
    sql_big_selects: '1',
    sql_auto_is_null: '0',
    unique_checks: '1',
    foreign_key_checks: '1',
    check_constraint_checks: '1',
    innodb_lock_wait_timeout: String(lockSeconds),
    lock_wait_timeout: String(lockSeconds),
    net_read_timeout: longest,
    net_write_timeout: longest,
    wait_timeout: longest,
    idle_transaction_timeout: '0',
    idle_readonly_transaction_timeout: '0',
    idle_write_transaction_timeout: '0',
    max_statement_time: '0',
    max_execution_time: '0',
  }
}

/** Returns what a session that writes must know of the server and of the connection. */
export const serverQuery = `select connection_id(), @@session.sql_select_limit, @@character_set_client, version(), @@max_allowed_packet,
  @@global.local_infile, @@lower_case_table_names, @@log_bin, database()`

/** Returns the format of the binary log, as far as the server has formats. */
export const logFormatQuery = "show session variables like 'binlog_format'"
