/** A table, and the database that it is in. Default: the database of the connection. */
export interface MysqlTableName {
  readonly database?: string
  readonly name: string
}

/** What {@link isName} accepts, for messages. */
export const aName = 'a name of 1 to 64 characters without NUL, without a space at the end and without emoji'

/** Whether the server takes a text as the name of a table or a column. */
export function isName(name: unknown): name is string {
  return typeof name === 'string' && /^[^\0\ud800-\udfff]{1,64}$/.test(name) && !name.endsWith(' ')
}

/** A name as SQL reads it, whatever the mode of the session. */
export function quoted(name: string): string {
  return `\`${name.replaceAll('`', '``')}\``
}

/** Names as a list in SQL. */
export function quotedList(names: readonly string[]): string {
  return names.map(quoted).join(', ')
}

/** A table as SQL reads it. */
export function sqlOf({ database, name }: MysqlTableName): string {
  return database === undefined ? quoted(name) : `${quoted(database)}.${quoted(name)}`
}

/** `name`, `database.name`, or a name that is given in parts. */
export function parseTableName(table: string | MysqlTableName): MysqlTableName {
  if (typeof table !== 'string') return table
  const [first = '', second] = table.split('.')
  return second === undefined ? { name: first } : { database: first, name: second }
}

/** A text as SQL reads it, in every mode and character set of the session. */
export function literal(text: string): string {
  return text === '' ? `''` : `_utf8mb4 x'${Buffer.from(text).toString('hex')}'`
}

/** Bytes as SQL reads them. */
export function bytesLiteral(bytes: Buffer): string {
  return `x'${bytes.toString('hex')}'`
}
