import { checkValue, type Rule } from '../../adapter.js'

/**
 * Says which part of the option `table` is wrong when it is an object with `name` and perhaps what the table is in, such as `schema`. What
 * cannot be read is left to the check of all options.
 */
export function checkTableParts(options: object, container: string, rule: Rule): void {
  const parts = partsOf(options)
  if (!parts) return
  if (parts[container] !== undefined) checkValue(`table.${container}`, parts[container], rule)
  checkValue('table.name', parts.name, rule)
}

function partsOf(options: object): Record<string, unknown> | undefined {
  try {
    const { table } = options as { table?: unknown }
    return typeof table === 'object' && table !== null ? { ...table } : undefined
  } catch {
    return undefined
  }
}
