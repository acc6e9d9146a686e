/** The name of a table, to the letter: nothing is folded to lower case. */
export interface TableName {
  /** The schema; without it, the first one of the connection's search path that has the table. */
  readonly schema?: string
  /** The name. */
  readonly name: string
}

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
