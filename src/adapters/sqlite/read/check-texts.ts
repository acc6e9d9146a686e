import { isUtf8 } from 'node:buffer'
import { JobError, type Query } from '../../../adapter.js'
import { type FileConnection, quoted, type StoredValue } from '../client/index.js'

/** Which texts to look for, whose values a driver would change. */
export interface TextFaults {
  /** Texts with a NUL, at which some drivers cut. */
  readonly nul: boolean
  /** Texts that are not valid UTF-8, in which drivers replace characters. */
  readonly utf8: boolean
}

/**
 * What a driver does to such texts. libsql ends the process at one that is not valid UTF-8. Releases of node:sqlite differ, so that one
 * value tells.
 */
export function faultsOf(connection: FileConnection): TextFaults {
  const [row] = connection.all("select 'a' || char(0) || 'b'")
  return { nul: row?.[0] !== 'a\0b', utf8: connection.driver.kind === 'libsql' }
}

/** A row of any kind about every so many rows: between them, a scan yields to the event loop. */
const tick = '(random() & 1023) = 0'

/** The rows that a scan of texts gives: the values of the columns that may be at fault, as bytes. */
export function textsQuery({ text, values }: Query, names: readonly string[], { nul, utf8 }: TextFaults): Query {
  const columns = names.map((name) => `q.${quoted(name)}`)
  const suspects = columns.map((column) => {
    const faults = [
      ...(nul ? [`instr(cast(${column} as blob), x'00')`] : []),
      // Any character that is not of ASCII. NUL ends the text for this operator.
      ...(utf8 ? [`${column} glob '*[^' || char(1) || '-' || char(127) || ']*'`] : []),
    ]
    return `(typeof(${column}) = 'text' and (${faults.join(' or ')}))`
  })
  const list = columns.map((column, index) => `case when ${suspects[index]} then cast(${column} as blob) end`)
  return { text: `select ${list.join(', ')} from (\n${text}\n) q where ${[...suspects, tick].join(' or ')}`, values }
}

/** Throws `datasource` when a row of such a scan has a text that the driver would change. */
export function checkTexts(
  row: readonly StoredValue[],
  names: readonly string[],
  { nul, utf8 }: TextFaults,
  driver: string,
): void {
  for (const [index, bytes] of row.entries()) {
    if (!(bytes instanceof Uint8Array)) continue
    const name = names[index] as string
    if (nul && bytes.includes(0)) {
      throw textFailure(`A text of \`${name}\` has a NUL character, at which ${driver} would cut it`, name)
    }
    if (utf8 && !isUtf8(bytes))
      throw textFailure(`A text of \`${name}\` is not valid UTF-8, so that it cannot be read as text`, name)
  }
}

function textFailure(what: string, name: string): JobError {
  return new JobError(
    'datasource',
    `${what}: select \`cast(${quoted(name)} as blob) as ${quoted(name)}\`, or repair the value.`,
  )
}
