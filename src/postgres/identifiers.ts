/** The name of a table, to the letter: nothing is folded to lower case. */
export interface TableName {
  /** The schema; without it, the first one of the connection's search path that has the table. */
  readonly schema?: string
  /** The name. */
  readonly name: string
}

/** Postgres cuts a longer name short without an error: two names may then be one. */
const maxNameBytes = 63

/** Whether Postgres takes the name to the letter. */
export function isName(value: unknown): value is string {
  if (typeof value !== 'string' || value === '' || /[\0\p{Surrogate}]/u.test(value)) return false
  return Buffer.byteLength(value) <= maxNameBytes
}

/** What a name must be, in words. */
export const aName = `a name of 1 to ${maxNameBytes} bytes in UTF-8 without NUL`

/** A name as SQL: quoted, as it may be a word of SQL or hold anything. */
export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/** Quoted names, with commas. */
export function quotedList(names: readonly string[]): string {
  return names.map(quoted).join(', ')
}

/** The SQL of a table's name. */
export function sqlOf({ schema, name }: TableName): string {
  return schema === undefined ? quoted(name) : `${quoted(schema)}.${quoted(name)}`
}

/** A text as SQL between dollar signs, with a tag that is not in it: without escapes, whatever the settings of the server. */
export function dollarQuoted(text: string): string {
  let tag = '$headgate$'
  while (text.includes(tag)) tag = tag.replace('$headgate', '$headgate_')
  return `${tag}${text}${tag}`
}
