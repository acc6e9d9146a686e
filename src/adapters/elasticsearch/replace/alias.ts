import { JobError } from '../../../adapter.js'
import { NoAnswer, type SearchServer } from '../client/index.js'
import { findIndexes, type IndexFacts } from '../indexes/index.js'
import { changeAliases } from './generation.js'

/** The indexes that an alias leads to. Throws for the name of an index. */
export async function checkAlias(server: SearchServer, alias: string): Promise<IndexFacts[]> {
  const found = await findIndexes(server, alias)
  if (!found.some(({ name }) => name === alias)) return found
  throw new JobError(
    'target',
    `Expected \`${alias}\` to be an alias or missing, as \`replace\` lets an alias lead to a new index, got an index. ` +
      'Name another alias, which searches then use, or move the index away: clone it under another name, delete it, and make an alias of its name.',
    { isTransient: false },
  )
}

/**
 * Lets an alias lead to an index, in one step. It fails, and changes nothing, when the alias no longer leads to what it led to, or when
 * `writer`, the alias of this execution, is gone.
 */
export async function swapAlias(
  server: SearchServer,
  alias: string,
  replaced: readonly IndexFacts[],
  to: IndexFacts,
  writer: string,
): Promise<void> {
  const [only, ...others] = replaced.map(({ aliases }) => aliases[alias])
  const { is_write_index: _, ...kept } = (others.length === 0 && only) || {}
  const removed = replaced.map(({ name }) => ({ remove: { index: name, alias, must_exist: true } }))
  // Two indexes to write to are refused: so two first replaces cannot both give the alias to theirs.
  const added = { add: { index: to.name, alias, is_write_index: true, ...kept } }
  try {
    await changeAliases(server, [{ remove: { index: to.name, alias: writer, must_exist: true } }, ...removed, added])
  } catch (error) {
    if (!(error instanceof NoAnswer) || !(await isSwapped(server, alias, to))) throw error
  }
}

/** Whether a swap whose answer was lost has happened. */
async function isSwapped(server: SearchServer, alias: string, to: IndexFacts): Promise<boolean> {
  const found = await findIndexes(server, alias)
  return found.length === 1 && found[0]?.uuid === to.uuid
}
