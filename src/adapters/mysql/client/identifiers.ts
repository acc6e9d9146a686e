/** A name as SQL reads it, whatever the mode of the session. */
export function quoted(name: string): string {
  return `\`${name.replaceAll('`', '``')}\``
}
