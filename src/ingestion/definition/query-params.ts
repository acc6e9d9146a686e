import { invalid } from '../../core/base/index.js'
import type { JobParams } from '../../core/model/index.js'
import type { Piece } from './bind-values.js'

/** Whether a name is that of a parameter, or of a value inside of one. */
export function isParam(name: string): boolean {
  return /^params(\.[\w-]+)+$/.test(name)
}

/** The value of a parameter. Only own properties are values. */
export function paramOf(name: string, params: JobParams): unknown {
  let value: unknown = params
  for (const part of name.split('.').slice(1)) {
    value =
      typeof value === 'object' && value !== null && Object.hasOwn(value, part) ? Reflect.get(value, part) : undefined
  }
  return value
}

/** Parameters for a trial rendering, with a text at each name. */
export function sampleParams(names: ReadonlySet<string>): JobParams {
  const params: Record<string, unknown> = {}
  for (const name of [...names].filter(isParam)) {
    const parts = name.split('.').slice(1)
    let holder = params
    for (const part of parts.slice(0, -1)) {
      if (typeof holder[part] !== 'object') holder[part] = {}
      holder = holder[part] as Record<string, unknown>
    }
    holder[parts.at(-1) as string] ??= '0'
  }
  return params
}

/** The value of a parameter, which must be one that a query can bind. */
export function paramPiece(name: string, value: unknown): Piece {
  if (value === undefined) throw invalid(name, `given, as the query uses {{${name}}}`, value)
  // A schema may return dates and the like.
  const isPlain = typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype
  if (!isPlain && !Array.isArray(value)) return { value }
  throw invalid(name, `a single value, as the query uses {{${name}}} outside of a section over it`, value)
}
