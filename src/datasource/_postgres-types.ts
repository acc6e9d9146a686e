import type { Column } from '../index.js'
import { firstUserId } from './_postgres-catalog.js'
import type { Session } from './_postgres-session.js'
import type { Field } from './_postgres-step.js'

/** Gives the type of a field in SQL. */
export type TypeOf = (field: Field) => Pick<Column, 'sqlType'>

/** The names of types in SQL, as the server tells them: once for those that it has by itself, as others may be renamed. */
export class TypeNames {
  readonly #names = new Map<string, string>()

  /** Learns the types of these fields. */
  async learn(session: Session, fields: readonly Field[]): Promise<TypeOf> {
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
