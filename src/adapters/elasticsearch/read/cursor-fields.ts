import { JobError, quotedNames } from '../../../adapter.js'
import { objectIn, type SearchServer } from '../client/index.js'
import { pathOf } from '../indexes/index.js'

/** How the server compares the values of a field. */
export type FieldKind = 'number' | 'date' | 'date_nanos' | 'text'

/** A field that a cursor reads by. */
export interface CursorField {
  /** The column of the cursor. */
  readonly name: string
  /** The field with its values in order: that of the name, or one of its keywords. */
  readonly path: string
  readonly kind: FieldKind
}

const kinds: ReadonlyMap<string, FieldKind> = new Map([
  ...['long', 'integer', 'short', 'byte', 'double', 'float', 'half_float', 'scaled_float', 'unsigned_long'].map(
    (type) => [type, 'number'] as const,
  ),
  ['date', 'date'],
  ['date_nanos', 'date_nanos'],
  ['keyword', 'text'],
  ['constant_keyword', 'text'],
])

/**
 * The fields of the columns of a cursor. A field of texts is read by its first sub-field of keywords, as dynamic mappings make one. Throws
 * `datasource` for a column that is no field, or that has no order. `undefined` when the index has none of the fields, as it has no documents.
 */
export async function fieldsOf(
  server: SearchServer,
  index: string,
  columns: readonly string[],
): Promise<CursorField[] | undefined> {
  const fields = columns.flatMap((name) => [name, `${name}.*`]).join(',')
  const query = { fields, allow_no_indices: 'false' }
  const answer = await server.ask({ method: 'GET', path: `${pathOf(index)}/_field_caps`, query })
  const found = objectIn(objectIn(answer, '`_field_caps`').fields, '`_field_caps`')
  if (columns.every((name) => !Object.hasOwn(found, name))) return undefined
  return columns.map((name) => fieldOf(found, name, index))
}

function fieldOf(found: Readonly<Record<string, unknown>>, name: string, index: string): CursorField {
  const types = typesOf(found, name)
  if (types.length === 0)
    throw new JobError('datasource', `The cursor column ${quotedNames([name])} is no field of the index \`${index}\`.`)
  if (types.length > 1) {
    throw new JobError(
      'datasource',
      `The cursor column ${quotedNames([name])} has several types in the indexes of \`${index}\`: ${types.join(', ')}. Read one index at a time.`,
    )
  }
  const kind = kinds.get(types[0] as string)
  if (kind) return { name, path: name, kind }
  const keyword = Object.keys(found).find(
    (path) => path.startsWith(`${name}.`) && typesOf(found, path).every((type) => type === 'keyword'),
  )
  if (types[0] === 'text' && keyword !== undefined) return { name, path: keyword, kind: 'text' }
  throw new JobError(
    'datasource',
    `Expected the cursor column ${quotedNames([name])} to be a field of numbers, dates or keywords, it has the type \`${types[0]}\`.`,
  )
}

function typesOf(found: Readonly<Record<string, unknown>>, path: string): string[] {
  return Object.hasOwn(found, path) ? Object.keys(Object(found[path])).filter((type) => type !== 'unmapped') : []
}

/** The type of a field in an index that lacks it, as all servers know it. */
export function unmappedTypeOf(kind: FieldKind): string {
  return kind === 'text' ? 'keyword' : kind === 'number' ? 'long' : kind
}
