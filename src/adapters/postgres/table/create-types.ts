import { type CustomType, JobError, type TypeDefinition } from '../../../adapter.js'
import { failure, type WriteSession } from '../client/index.js'
import { TypeGraph, typesQuery } from '../types/index.js'

/** How many parts of a type an error shows. */
const maxShown = 20

/**
 * Creates the types that are missing, in the open transaction. Throws `target` when a type of the same name cannot hold the values of the
 * source.
 */
export async function createTypes(session: WriteSession, types: readonly CustomType[]): Promise<void> {
  for (const definition of types.flatMap(({ definitions }) => definitions)) {
    const [found] = await session.query('select oid from pg_type where oid = to_regtype($1)', [definition.name])
    if (found) await checkType(session, definition, Number(found.oid))
    else await createType(session, definition)
  }
}

async function createType(session: WriteSession, { name, create }: TypeDefinition): Promise<void> {
  try {
    await session.query(create)
  } catch (cause) {
    throw failure('target', `Could not create the type ${name}, which the table needs: create it first`, cause)
  }
}

async function checkType(session: WriteSession, wanted: TypeDefinition, id: number): Promise<void> {
  const types = await session.query(typesQuery(`'{${id}}'::oid[]`))
  const found = new TypeGraph(types.map(({ type }) => type)).definitionsOf(id).at(-1)
  if (found && found.name === wanted.name && holds(found, wanted)) return
  const shown = found?.name === wanted.name ? described(found) : 'a type of another kind'
  throw new JobError(
    'target',
    `Expected the type ${wanted.name} of the target to be that of the source, ${described(wanted)}, found ${shown}. ` +
      'Create the table first, with a type that holds the values.',
  )
}

/** An enum may have more labels. */
function holds(found: TypeDefinition, { kind, parts }: TypeDefinition): boolean {
  if (found.kind !== kind) return false
  if (kind === 'enum') return parts.every((label) => found.parts.includes(label))
  return found.parts.length === parts.length && parts.every((part, index) => part === found.parts[index])
}

function described({ kind, parts }: TypeDefinition): string {
  const more = parts.length > maxShown ? [`${parts.length - maxShown} more`] : []
  return `${kind} (${[...parts.slice(0, maxShown), ...more].join(', ')})`
}
