import { createHash } from 'node:crypto'
import { type Column, JobError, type OpenContext } from '../../../adapter.js'
import { NoAnswer, type SearchServer } from '../client/index.js'
import { createIndex, findIndexes, type IndexFacts, type IndexShape, pathOf } from '../indexes/index.js'

/** The job that a generation belongs to. */
export type Owner = Pick<OpenContext, 'type' | 'id' | 'executionId'>

/** The alias by which one execution alone writes to a generation. Whoever takes it away keeps the execution from writing. */
const writerPrefix = 'headgate-writer-'

export function writerAliasOf({ executionId }: Pick<Owner, 'executionId'>): string {
  return `${writerPrefix}${executionId
    .toLowerCase()
    .replace(/[^a-z0-9-]/g, '')
    .slice(-36)}-${hashOf(executionId)}`
}

/** The aliases by which executions write to an index. A generation without one is complete. */
export function writerAliases({ aliases }: IndexFacts): string[] {
  return Object.keys(aliases).filter((name) => name.startsWith(writerPrefix))
}

/** The indexes that this job has made for an alias, latest first. */
export async function ownGenerations(server: SearchServer, alias: string, { type, id }: Owner): Promise<IndexFacts[]> {
  const found = await findIndexes(server, `${alias}-headgate-*`)
  return found
    .filter(({ meta }) => meta.alias === alias && meta.type === type && meta.id === id)
    .sort((one, other) => other.created - one.created || (other.name > one.name ? 1 : -1))
}

/** Creates an index that `owner` alone writes to, and returns it. */
export async function createGeneration(
  server: SearchServer,
  alias: string,
  shape: IndexShape,
  columns: readonly Column[],
  owner: Owner,
): Promise<IndexFacts> {
  const name = `${alias}-headgate-${Date.now().toString(36)}-${hashOf(JSON.stringify([owner.type, owner.id, owner.executionId]))}`
  const writer = writerAliasOf(owner)
  const meta = { alias, type: owner.type, id: owner.id }
  await createIndex(server, name, shape, columns, { meta, aliases: { [writer]: {} } })
  const [made] = await findIndexes(server, name)
  if (!made)
    throw new JobError('target', `The index \`${name}\` is gone right after it was created.`, { isTransient: true })
  if (Object.keys(made.aliases).some((found) => found === alias)) {
    throw new JobError(
      'target',
      `A template gives the new index \`${name}\` the alias \`${alias}\`, so that searches would see it before it is complete: take the alias out of the template.`,
    )
  }
  await setRefreshInterval(server, name, '-1')
  return made
}

/** Makes `owner` the only one who writes to a generation. Throws `lease_lost` when another one was faster. */
export async function takeOver(server: SearchServer, generation: IndexFacts, owner: Owner): Promise<void> {
  const own = writerAliasOf(owner)
  const removed = writerAliases(generation)
    .filter((alias) => alias !== own)
    .map((alias) => ({ remove: { index: generation.name, alias, must_exist: true } }))
  await changeAliases(server, [...removed, { add: { index: generation.name, alias: own } }])
}

/** Changes aliases in one step. Throws `lease_lost` when one is gone that must exist. */
export async function changeAliases(server: SearchServer, actions: readonly object[]): Promise<void> {
  try {
    await server.ask({ method: 'POST', path: '/_aliases', body: { actions }, isRepeatable: false })
  } catch (error) {
    if (error instanceof NoAnswer) throw error
    const message = String((error as Error).message)
    const isMissing = message.includes('alias') && message.includes(' missing')
    if (!isMissing && !/aliases_not_found|more than one write index/.test(message)) throw error
    throw new JobError('lease_lost', 'Another execution has replaced the documents, or has taken over.', {
      cause: error,
    })
  }
}

/** Sets how often searches see new documents. `null` gives the index its default. */
export async function setRefreshInterval(server: SearchServer, name: string, interval: string | null): Promise<void> {
  const body = { index: { refresh_interval: interval } }
  await server.ask({ method: 'PUT', path: `${pathOf(name)}/_settings`, body })
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 8)
}
