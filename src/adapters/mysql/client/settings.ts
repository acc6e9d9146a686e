/** The longest time that the server takes for its timeouts, in seconds: a year. */
export const longest = '31536000'

/** Settings of a session, with their values as SQL. Each system has some of these only. */
export type SessionSettings = Readonly<Record<string, string>>

/**
 * The settings of a session that reads. Times come in UTC and texts in UTF-8. No timeout of the server counts the time of the target,
 * and no limit cuts the result. Each system has some of these settings only.
 */
export const readSettings: SessionSettings = {
  time_zone: "'+00:00'",
  character_set_results: 'utf8mb4',
  net_write_timeout: longest,
  wait_timeout: longest,
  idle_transaction_timeout: '0',
  idle_readonly_transaction_timeout: '0',
  idle_write_transaction_timeout: '0',
  max_statement_time: '0',
  max_execution_time: '0',
}

/** Settings whose values are names. */
const named: ReadonlySet<string> = new Set(['character_set_results', 'character_set_connection'])

/** Returns the id of the connection, and the setting that would cut the answer to the next question. */
export const identityQuery = 'select connection_id(), @@session.sql_select_limit'

/** Turns that setting off. */
export const liftLimit = 'set session sql_select_limit = 18446744073709551615'

/** Returns those of the settings that the server has, with the values of the session. */
export function settingsQueryOf(settings: SessionSettings): string {
  const names = Object.keys(settings).map((name) => `'${name}'`)
  return `show session variables where variable_name in (${names.join(', ')})`
}

/** The statement that sets up a session, and the one that undoes it. */
export function settingStatements(
  settings: SessionSettings,
  current: readonly (readonly unknown[])[],
  limit: string,
): { set: string; restore: string } {
  const before = new Map(current.map(([name, value]) => [String(name).toLowerCase(), String(value ?? '')]))
  const names = Object.keys(settings).filter((name) => before.has(name))
  const statement = (valueIn: (name: string) => string) =>
    `set ${names.map((name) => `session ${name} = ${valueIn(name)}`).join(', ')}`
  return {
    set: statement((name) => settings[name] as string),
    restore: `${statement((name) => literal(name, before.get(name) as string))}, session sql_select_limit = ${limit}`,
  }
}

/** The values come from the server. What is neither a number nor a name is written as hexadecimal digits. */
function literal(name: string, value: string): string {
  if (/^\d+(\.\d+)?$/.test(value)) return value
  if (named.has(name)) return /^\w+$/.test(value) ? value : 'null'
  return `_utf8mb4 x'${Buffer.from(value).toString('hex')}'`
}
