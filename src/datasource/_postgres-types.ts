import type { Column, Query } from '../index.js'
import type { Session } from './_postgres-session.js'
import type { Field } from './_postgres-step.js'

/** How many queries are remembered. */
const maxQueries = 1000

/** The names of types in SQL, as the server tells them: once each. */
export class TypeNames {
  readonly #names = new Map<string, string>()
  /** The texts of queries whose types are known. */
  readonly #queries = new Set<string>()

  /** Learns the types of the columns that a query gives, before it is opened: nothing can be asked while its rows come. */
  async learnFrom(session: Session, { text }: Query): Promise<void> {
    if (this.#queries.has(text)) return
    await this.learn(session, await session.describe(text))
    if (this.#queries.size === maxQueries) this.#queries.clear()
    this.#queries.add(text)
  }

  /** Learns the types of these fields. */
  async learn(session: Session, fields: readonly Field[]): Promise<void> {
    const unknown = fields.filter((field) => !this.#names.has(keyOf(field)))
    if (unknown.length === 0) return
    const ids = unknown.map(({ dataTypeID }) => dataTypeID)
    const modifiers = unknown.map(({ dataTypeModifier }) => dataTypeModifier)
    const { rows } = await session.run({
      text: `select format_type(id, modifier) from unnest($1::oid[], $2::int[]) with ordinality as t (id, modifier, place)
        order by place`,
      values: [`{${ids}}`, `{${modifiers}}`],
    })
    for (const [index, field] of unknown.entries()) this.#names.set(keyOf(field), String(rows[index]?.[0]))
  }

  /** The type of a field, if it is known. */
  of(field: Field): Pick<Column, 'sqlType'> {
    const sqlType = this.#names.get(keyOf(field))
    return sqlType === undefined ? {} : { sqlType }
  }
}

function keyOf({ dataTypeID, dataTypeModifier }: Field): string {
  return `${dataTypeID}:${dataTypeModifier}`
}
