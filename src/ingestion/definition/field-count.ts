import { maxJsonDepth } from '../../core/base/index.js'

/** The fields of a checkpoint. A target may add others beside them. */
const names = [
  ...['origin', 'sequence', 'read', 'repeats', 'written', 'failed', 'skipped', 'refresh', 'isUnordered', 'isDone'],
  ...['lastId', 'maxPrimaryKey', 'lastRecordTimestamp', 'lastRecord', 'cursor', 'position', 'deadLetters'],
  ...['params', 'scheme', 'range', 'bounds'],
]

/**
 * Adds the number of its fields to a checkpoint that is about to be stored, so that a field which somebody removes is noticed: most of
 * them are optional, and mean something else when absent.
 */
export function withFieldCount<Checkpoint extends object>(checkpoint: Checkpoint): Checkpoint {
  return { ...checkpoint, fields: fieldCountOf(checkpoint) }
}

/** Whether a stored checkpoint has all its fields. Earlier versions did not count them. */
export function hasAllFields(checkpoint: unknown): boolean {
  const { fields } = Object(checkpoint) as { fields?: unknown }
  return fields === undefined || fields === fieldCountOf(Object(checkpoint))
}

/** How many values the JSON of a checkpoint has, at any depth. */
function fieldCountOf(checkpoint: object): number {
  const values = checkpoint as Readonly<Record<string, unknown>>
  return names.reduce((sum, name) => sum + countIn(values[name]), 0)
}

function countIn(value: unknown, depth = 0): number {
  if (value === undefined || typeof value === 'function' || typeof value === 'symbol') return 0
  if (typeof value !== 'object' || value === null || depth > maxJsonDepth) return 1
  if (Array.isArray(value)) return value.reduce<number>((sum, inner) => sum + (countIn(inner, depth + 1) || 1), 1)
  const { toJSON } = value as { toJSON?: unknown }
  if (typeof toJSON === 'function') return countIn(toJSON.call(value, ''), depth + 1)
  return Object.values(value).reduce<number>((sum, inner) => sum + countIn(inner, depth + 1), 1)
}
