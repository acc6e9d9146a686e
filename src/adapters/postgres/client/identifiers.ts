/** The exact name of a table: case is kept. */
export interface TableName {
  /** The schema. Default: the first schema of the connection's search path that has the table. */
  readonly schema?: string
  /** The name. */
  readonly name: string
}

/** Postgres truncates longer names without an error, so two names could become one. */
const maxNameBytes = 63

/** Whether Postgres keeps the name exactly. */
export function isName(value: unknown): value is string {
  if (typeof value !== 'string' || value === '' || /[\0\p{Surrogate}]/u.test(value)) return false
  return Buffer.byteLength(value) <= maxNameBytes
}

/** Describes a valid name, for messages. */
export const aName = `a name of 1 to ${maxNameBytes} bytes in UTF-8 without NUL`

/** A name as a quoted SQL identifier. */
export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/** Quoted names, separated by commas. */
export function quotedList(names: readonly string[]): string {
  return names.map(quoted).join(', ')
}

/** The SQL of a table's name. */
export function sqlOf({ schema, name }: TableName): string {
  return schema === undefined ? quoted(name) : `${quoted(schema)}.${quoted(name)}`
}

/**
 * A dollar-quoted SQL text, with a tag that the text does not contain. It needs no escapes, whatever the settings of
 * the server.
 */
export function dollarQuoted(text: string): string {
  let tag = '$headgate$'
  // The end of the text may be the beginning of the tag.
  while (`${text}${tag}`.indexOf(tag) < text.length) tag = tag.replace('$headgate', '$headgate_')
  return `${tag}${text}${tag}`
}
