import { type Column, JobError } from '../../../adapter.js'
import { countIn, objectIn, type SearchServer } from '../client/index.js'
import { mappingOf } from './mapping.js'

/** What a new index has. */
export interface IndexShape {
  readonly mappings?: Readonly<Record<string, unknown>> | undefined
  readonly settings?: Readonly<Record<string, unknown>> | undefined
}

/** An index, as the server describes it. */
export interface IndexFacts {
  readonly name: string
  readonly uuid: string
  readonly aliases: Readonly<Record<string, Readonly<Record<string, unknown>>>>
  /** What `_meta` of its mapping says of headgate. */
  readonly meta: Readonly<Record<string, unknown>>
  /** When it was created, in epoch milliseconds. */
  readonly created: number
  /** Its own `index.refresh_interval`. */
  readonly refreshInterval: string | undefined
}

const factsFilter =
  '*.aliases,*.mappings._meta.headgate,*.settings.index.uuid,*.settings.index.creation_date,*.settings.index.refresh_interval'

/** The indexes behind a name or a pattern. Empty when there is none. */
export async function findIndexes(server: SearchServer, name: string): Promise<IndexFacts[]> {
  const query = { filter_path: factsFilter, expand_wildcards: 'all' }
  const answer = await server.ask({ method: 'GET', path: pathOf(name), query, none: 404 })
  if (answer === undefined) return []
  return Object.entries(objectIn(answer, 'an index')).map(([found, facts]) => factsOf(found, facts))
}

function factsOf(name: string, value: unknown): IndexFacts {
  const { aliases, mappings, settings } = objectIn(value, `the index \`${name}\``)
  const { index } = Object(settings) as { index?: unknown }
  const { uuid, creation_date: created, refresh_interval: interval } = Object(index) as Record<string, unknown>
  const { _meta: meta } = Object(mappings) as { _meta?: unknown }
  if (typeof uuid !== 'string')
    throw new JobError('target', `Expected the server to tell the \`uuid\` of the index \`${name}\`.`)
  return {
    name,
    uuid,
    aliases: Object(aliases),
    meta: Object(Object(meta).headgate),
    created: Number(created),
    refreshInterval: typeof interval === 'string' ? interval : undefined,
  }
}

/** Creates an index, unless it is there. The columns give its mapping where the shape has none. */
export async function createIndex(
  server: SearchServer,
  name: string,
  { mappings, settings }: IndexShape,
  columns: readonly Column[],
  more: { readonly meta?: object; readonly aliases?: object } = {},
): Promise<void> {
  const properties = mappings ? {} : { properties: mappingOf(columns) }
  const { _meta: given } = { ...mappings }
  const meta = more.meta && { _meta: { ...Object(given), headgate: more.meta } }
  const body = {
    mappings: { ...properties, ...mappings, ...meta },
    ...(settings && { settings }),
    ...(more.aliases && { aliases: more.aliases }),
  }
  try {
    await server.ask({ method: 'PUT', path: pathOf(name), body })
  } catch (error) {
    // Another writer was faster, or an earlier try whose answer was lost.
    if (!String((error as Error).message).includes('resource_already_exists_exception')) throw error
  }
}

/** Deletes an index, unless it is gone. */
export async function deleteIndex(server: SearchServer, name: string): Promise<void> {
  await server.ask({ method: 'DELETE', path: pathOf(name), none: 404 })
}

/** Lets searches see all documents. */
export async function refreshIndex(server: SearchServer, name: string): Promise<void> {
  await server.ask({ method: 'POST', path: `${pathOf(name)}/_refresh` })
}

/** How many documents searches see. `undefined` when there is no such index. */
export async function countDocuments(server: SearchServer, name: string): Promise<number | undefined> {
  const answer = await server.ask({ method: 'GET', path: `${pathOf(name)}/_count`, none: 404 })
  return answer === undefined ? undefined : countIn(answer, '`_count`')
}

/** The path of an index, an alias or a pattern. */
export function pathOf(name: string): string {
  return `/${encodeURIComponent(name).replaceAll('%2A', '*')}`
}
