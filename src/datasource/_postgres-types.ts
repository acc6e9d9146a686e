import type { Column } from '../index.js'

/** A field of a result, as the server describes it. */
export interface Field {
  readonly name: string
  /** The object id of its type; for a domain, that of the type underneath. */
  readonly dataTypeID: number
  /** Its length or precision, as the type has it; -1 for none. */
  readonly dataTypeModifier: number
}

/** The part of pg's client that is called. */
interface Client {
  query(query: object): unknown
}

/** What pg's `Connection` has for those who submit messages of their own. */
interface Connection {
  parse(statement: { text: string }): void
  describe(statement: { type: 'S' }): void
  sync(): void
}

/** The client may have parsers of its own. */
const rawText = { rowMode: 'array', types: { getTypeParser: () => (raw: string) => raw } }

/** The names of types in SQL, as the server tells them: once each. */
export class TypeNames {
  readonly #names = new Map<string, string>()

  /** Learns the types of the columns that a query gives. A cursor holds its connection, so this comes before it. */
  async learn(client: Client, text: string): Promise<void> {
    const fields = await new Promise<readonly Field[]>((resolve, reject) => {
      client.query(new Description(text, resolve, reject))
    })
    const unknown = fields.filter((field) => !this.#names.has(keyOf(field)))
    if (unknown.length === 0) return
    const ids = unknown.map(({ dataTypeID }) => dataTypeID)
    const modifiers = unknown.map(({ dataTypeModifier }) => dataTypeModifier)
    const names = `select format_type(id, nullif(modifier, -1)) from unnest($1::oid[], $2::int[]) with ordinality as t (id, modifier, place) order by place`
    const query = { text: names, values: [`{${ids}}`, `{${modifiers}}`], ...rawText }
    const { rows } = (await client.query(query)) as { rows: [string][] }
    for (const [index, field] of unknown.entries()) this.#names.set(keyOf(field), rows[index]?.[0] as string)
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

/** Asks the server which columns a query gives, without running it. pg calls it as its own queries. */
class Description {
  readonly #text: string
  readonly #resolve: (fields: readonly Field[]) => void
  readonly #reject: (error: unknown) => void
  #fields: readonly Field[] = []

  constructor(text: string, resolve: (fields: readonly Field[]) => void, reject: (error: unknown) => void) {
    this.#text = text
    this.#resolve = resolve
    this.#reject = reject
  }

  submit(connection: Connection): void {
    connection.parse({ text: this.#text })
    connection.describe({ type: 'S' })
    connection.sync()
  }

  handleRowDescription({ fields }: { fields: readonly Field[] }): void {
    this.#fields = fields
  }

  handleReadyForQuery(): void {
    this.#resolve(this.#fields)
  }

  handleError(error: unknown): void {
    this.#reject(error)
  }
}
