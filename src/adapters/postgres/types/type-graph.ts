import type { TypeDefinition } from '../../../adapter.js'
import { dollarQuoted } from '../client/index.js'
import {
  arrayForm,
  type BinaryForm,
  builtInForms,
  compositeForm,
  domainForm,
  enumForm,
  rangeForm,
} from '../protocol/index.js'

/** A type of the catalog, as the query of types describes it. */
interface TypeRow {
  readonly id: string
  readonly kind: string
  /** Its name, if headgate can create it. */
  readonly name: string | null
  readonly element: string | null
  readonly base: string
  readonly baseSql: string | null
  readonly basePart: string | null
  readonly isNotNull: boolean
  readonly subtype: string | null
  readonly labels: readonly string[]
  readonly attributes: readonly { readonly id: string; readonly sql: string; readonly part: string }[]
}

/** What else the definition of a domain has. */
interface DomainClauses {
  readonly id: string
  readonly default: string | null
  readonly checks: readonly string[]
}

/** Types with the types that they consist of. */
export class TypeGraph {
  readonly #types: ReadonlyMap<number, TypeRow>
  readonly #clauses: ReadonlyMap<number, DomainClauses>
  readonly #forms = new Map<number, BinaryForm | undefined>()

  /** Takes the rows of the query of types, and of that of the clauses of domains. */
  constructor(types: readonly unknown[], clauses: readonly unknown[] = []) {
    this.#types = byId<TypeRow>(types)
    this.#clauses = byId<DomainClauses>(clauses)
  }

  /** The domains that headgate can create. */
  static domainsIn(types: readonly unknown[]): number[] {
    return [...byId<TypeRow>(types)].flatMap(([id, { kind, name }]) => (kind === 'd' && name !== null ? [id] : []))
  }

  /** The binary form of a type; undefined for a type whose values travel as text. */
  formOf(id: number): BinaryForm | undefined {
    if (!this.#forms.has(id)) this.#forms.set(id, builtInForms.get(id) ?? this.#ownFormOf(id))
    return this.#forms.get(id)
  }

  /** The form of a column: that of the base type of a domain. */
  columnFormOf(id: number): BinaryForm | undefined {
    const type = this.#types.get(id)
    return type?.kind === 'd' ? this.columnFormOf(Number(type.base)) : this.formOf(id)
  }

  /** The name of a type that headgate can create, or of an array of it, as SQL. */
  nameOf(id: number): string | undefined {
    return this.#types.get(id)?.name ?? undefined
  }

  /** The definitions of the types that headgate can create, of which this one consists: each after those that it needs. */
  definitionsOf(id: number): TypeDefinition[] {
    const type = this.#types.get(id)
    if (!type) return []
    const needed = partsOf(type).flatMap((part) => this.definitionsOf(part))
    const own = type.name === null || type.element !== null ? [] : [this.#definition(type, type.name)]
    return [...new Map([...needed, ...own].map((definition) => [definition.name, definition])).values()]
  }

  #ownFormOf(id: number): BinaryForm | undefined {
    const type = this.#types.get(id)
    if (!type) return undefined
    const { kind, element, base, subtype, attributes } = type
    if (kind === 'e') return enumForm
    if (kind === 'd') return wrapped(domainForm, this.formOf(Number(base)))
    if (kind === 'c') return this.#compositeForm(attributes.map((attribute) => Number(attribute.id)))
    if (element !== null) return wrapped(arrayForm, this.formOf(Number(element)))
    const bound = subtype === null ? undefined : this.formOf(Number(subtype))
    // The bounds are not looked into.
    if (!bound || bound.isIntact) return undefined
    return rangeForm(bound, kind === 'm' ? 'multirange' : 'range')
  }

  #compositeForm(ids: readonly number[]): BinaryForm | undefined {
    const attributes = ids.flatMap((id) => {
      const form = this.formOf(id)
      return form ? [{ id, form }] : []
    })
    return attributes.length === ids.length ? compositeForm(attributes) : undefined
  }

  #definition({ id, kind, labels, baseSql, basePart, isNotNull, attributes }: TypeRow, name: string): TypeDefinition {
    if (kind === 'e') {
      return { name, kind: 'enum', parts: labels, create: `create type ${name} as enum (${labels.map(dollarQuoted)})` }
    }
    if (kind === 'c') {
      const parts = attributes.map(({ part }) => part)
      return { name, kind: 'composite', parts, create: `create type ${name} as (${attributes.map(({ sql }) => sql)})` }
    }
    const { default: value, checks = [] } = this.#clauses.get(Number(id)) ?? {}
    const clauses = [value && `default ${value}`, isNotNull && 'not null', ...checks].filter(Boolean)
    const create = [`create domain ${name} as ${baseSql}`, ...clauses].join(' ')
    return { name, kind: 'domain', parts: [String(basePart)], create }
  }
}

/** The ids of the types that a type directly consists of. */
function partsOf({ element, base, subtype, attributes }: TypeRow): number[] {
  return [element, base, subtype, ...attributes.map(({ id }) => id)].map(Number).filter((id) => id > 0)
}

function wrapped(wrap: (form: BinaryForm) => BinaryForm, form: BinaryForm | undefined): BinaryForm | undefined {
  return form && wrap(form)
}

function byId<Item extends { readonly id: string }>(rows: readonly unknown[]): Map<number, Item> {
  return new Map(rows.map((row) => JSON.parse(String(row)) as Item).map((item) => [Number(item.id), item]))
}
