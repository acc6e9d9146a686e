import type { Column } from '../../../adapter.js'
import type { Field } from '../protocol/index.js'
import { firstUserId } from './catalog.js'
import type { ReadSession } from './read-session.js'

/** Returns the SQL type of a field. */
export type TypeOf = (field: Field) => Pick<Column, 'sqlType'>

/**
 * The SQL names of types, as the server reports them. Names of built-in types are cached; other types may be renamed.
 */
export class TypeNames {
  readonly #names = new Map<string, string>()

  /** Loads the types of these fields. */
  async load(session: ReadSession, fields: readonly Field[]): Promise<TypeOf> {
    const names = new Map(this.#names)
    const unknown = fields.filter((field) => !names.has(keyOf(field)))
    if (unknown.length > 0) {
      const ids = unknown.map(({ dataTypeID }) => dataTypeID)
      const modifiers = unknown.map(({ dataTypeModifier }) => dataTypeModifier)
      const { rows } = await session.run({
        text: `select format_type(id, modifier) from unnest($1::oid[], $2::int[]) with ordinality as t (id, modifier, place)
        order by place`,
        values: [`{${ids}}`, `{${modifiers}}`],
      })
      for (const [index, field] of unknown.entries()) {
        const name = String(rows[index]?.[0])
        names.set(keyOf(field), name)
        if (field.dataTypeID < firstUserId) this.#names.set(keyOf(field), name)
      }
    }
    return (field) => ({ sqlType: names.get(keyOf(field)) as string })
  }
}

function keyOf({ dataTypeID, dataTypeModifier }: Field): string {
  return `${dataTypeID}:${dataTypeModifier}`
}
