import { checkOptions, checkValue, type Rule, rule } from '../../adapter.js'

/**
 * Says which part of the options `table` and `checkpoints` is wrong when they are objects with `name` and perhaps what the table is in, such
 * as `schema`. What cannot be read is left to the check of all options.
 */
export function checkTableParts(options: object, container: string, name: Rule): void {
  for (const option of ['table', 'checkpoints']) {
    const parts = partsOf(options, option)
    if (!parts) continue
    if (parts[container] !== undefined) checkValue(`${option}.${container}`, parts[container], name)
    checkOptions(option, parts, { name, [container]: rule.optional(name) }, `${option}.`)
  }
}

function partsOf(options: object, option: string): Record<string, unknown> | undefined {
  try {
    const { [option]: table } = options as Record<string, unknown>
    return typeof table === 'object' && table !== null ? { ...table } : undefined
  } catch {
    return undefined
  }
}
