import type { Column } from '../../../adapter.js'
import { type BinaryForm, builtInForms, type Field } from '../protocol/index.js'
import { domainClausesQuery, firstUserId, hasFixedId, TypeGraph, typesQuery } from '../types/index.js'
import type { ReadSession } from './read-session.js'

/** Returns the SQL type of a field. */
export type TypeOf = (field: Field) => Pick<Column, 'sqlType' | 'customType'>

/** What is known of the types of fields. */
export interface KnownTypes {
  readonly typeOf: TypeOf
  /** Returns the binary form of a field; undefined for a field that travels as text. */
  formOf(field: Field): BinaryForm | undefined
}

/** The name of a field's type, and the id of the domain of its column, if it has one. */
interface FieldType {
  readonly name: string
  readonly domain: number | undefined
}

/** Finds the types of fields in the catalog. Names of built-in types are kept; other types may be renamed. */
export class FieldTypes {
  readonly #known = new Map<string, FieldType>()

  /** Loads the types of these fields. */
  async load(session: ReadSession, fields: readonly Field[]): Promise<KnownTypes> {
    const found = await this.#find(session, fields)
    const domains = [...found.values()].flatMap(({ domain }) => domain ?? [])
    const others = fields.map(({ dataTypeID }) => dataTypeID).filter((id) => !hasFixedId(id))
    const graph = await graphOf(session, [...domains, ...others])
    return {
      typeOf(field) {
        const { name, domain = field.dataTypeID } = found.get(keyOf(field)) as FieldType
        const ownName = graph.nameOf(domain)
        const customType =
          ownName === undefined ? {} : { customType: { sqlType: ownName, definitions: graph.definitionsOf(domain) } }
        return { sqlType: name, ...customType }
      },
      formOf: ({ dataTypeID }) => builtInForms.get(dataTypeID) ?? graph.formOf(dataTypeID),
    }
  }

  async #find(session: ReadSession, fields: readonly Field[]): Promise<Map<string, FieldType>> {
    const found = new Map(this.#known)
    const unknown = fields.filter((field) => !found.has(keyOf(field)))
    if (unknown.length === 0) return found
    const values = (['dataTypeID', 'dataTypeModifier', 'tableID', 'columnID'] as const).map(
      (name) => `{${unknown.map((field) => field[name])}}`,
    )
    const { rows } = await session.run({ text: fieldTypesQuery, values })
    for (const [index, field] of unknown.entries()) {
      const [name, domain] = rows[index] as [string, string | null]
      const type = { name, domain: domain === null ? undefined : Number(domain) }
      found.set(keyOf(field), type)
      if (field.dataTypeID < firstUserId && field.tableID === 0) this.#known.set(keyOf(field), type)
    }
    return found
  }
}

/** The server describes a column of a domain by the base type. */
const fieldTypesQuery = `
  select
    format_type(id, modifier),
    (select d.oid from pg_attribute join pg_type d on d.oid = atttypid and typtype = 'd' where d.oid >= ${firstUserId} and attrelid = relation and attnum = number)
  from unnest($1::oid[], $2::int[], $3::oid[], $4::int[]) with ordinality as t (id, modifier, relation, number, place)
  order by place`

async function graphOf(session: ReadSession, ids: readonly number[]): Promise<TypeGraph> {
  if (ids.length === 0) return new TypeGraph([])
  const types = await firstColumn(session, typesQuery(`'{${ids}}'::oid[]`))
  const domains = TypeGraph.domainsIn(types)
  if (domains.length === 0) return new TypeGraph(types)
  await session.run({ text: `savepoint headgate_types; set local search_path to ''`, values: [] })
  const clauses = await firstColumn(session, domainClausesQuery(domains))
  await session.run({ text: 'rollback to savepoint headgate_types; release savepoint headgate_types', values: [] })
  return new TypeGraph(types, clauses)
}

async function firstColumn(session: ReadSession, text: string): Promise<unknown[]> {
  const { rows } = await session.run({ text, values: [] })
  return rows.map(([value]) => value)
}

/** A computed field, and a column that may have a domain. */
function keyOf({ dataTypeID, dataTypeModifier, tableID, columnID }: Field): string {
  return [dataTypeID, dataTypeModifier, ...(tableID === 0 ? [] : [tableID, columnID])].join(':')
}
