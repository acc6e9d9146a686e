/** A definition of a registry. */
export interface Definition {
  /** The key of the definition. */
  readonly key: string
  /** The definition as JSON. */
  readonly text: string
  /** When it was defined, in epoch milliseconds. */
  readonly since: number
}

/** The heartbeat of a registry. */
export interface Heartbeat {
  readonly registry: string
  /** Counts the changes of its definitions. */
  readonly version: number
  /** When it was last seen, in epoch milliseconds. */
  readonly seen: number
}

/** A stored job. */
type Stored = { readonly id?: string | undefined; readonly data: unknown } | undefined

/** The longest text of a definition, in UTF-16 code units. */
const maxText = 10_000

/** The maximum number of definitions of one registry. */
const maxDefinitions = 100_000

const heartbeatPattern = /^registry\/([0-9a-f-]{36})$/
const bodyPattern = /^definitions\/([0-9a-f-]{36})\/\d{1,16}$/

/** The ids of heartbeat jobs. */
export const heartbeatId = {
  of: (registry: string) => `registry/${registry}`,
  is: (id: string) => heartbeatPattern.test(id),
  registryOf: (id: string) => heartbeatPattern.exec(id)?.[1],
}

/** The ids of the jobs with definitions. */
export const bodyId = {
  of: ({ registry, version }: Pick<Heartbeat, 'registry' | 'version'>) => `definitions/${registry}/${version}`,
  registryOf: (id: string) => bodyPattern.exec(id)?.[1],
}

/** Parses a heartbeat; `undefined` for an invalid job, because any client may write one. */
export function heartbeatOf(job: Stored): Heartbeat | undefined {
  const { version, seen } = Object(job?.data) as Partial<Record<keyof Heartbeat, unknown>>
  const registry = heartbeatId.registryOf(job?.id ?? '')
  if (registry === undefined || !isTime(version) || !isTime(seen)) return undefined
  return { registry, version, seen }
}

/** Parses the definitions of a registry that was last seen then. Invalid definitions are left out. */
export function definitionsOf(job: Stored, seen: number): Definition[] | undefined {
  const { definitions } = Object(job?.data) as { definitions?: unknown }
  if (!Array.isArray(definitions) || definitions.length > maxDefinitions) return undefined
  return definitions.filter((one): one is Definition => isDefinition(one, seen))
}

function isDefinition(value: unknown, seen: number): boolean {
  const { key, text, since } = Object(value) as Partial<Record<keyof Definition, unknown>>
  const isText = typeof key === 'string' && typeof text === 'string' && text.length <= maxText
  // A definition from after the heartbeat would apply forever.
  return isText && isTime(since) && since <= seen
}

function isTime(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}
