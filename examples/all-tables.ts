/**
 * All tables of a MariaDB or MySQL database, copied to Postgres by one loop over `define`.
 *
 *     npx tsx examples/all-tables.ts mysql://root@localhost/shop postgres://localhost/postgres
 *
 * It creates the tables in Postgres, and prints how many records each of them has got.
 */
import { JobRegistry, memoryStorage } from 'headgate'
import { mysqlDatasource } from 'headgate/mysql'
import { postgresTarget } from 'headgate/postgres'
import mysql from 'mysql2/promise'
import pg from 'pg'

const [source = 'mysql://root@localhost/shop', target = 'postgres://localhost/postgres'] = process.argv.slice(2)

const shop = mysql.createPool({ uri: source })
const copy = new pg.Pool({ connectionString: target })

// #region columns
interface SourceColumn extends mysql.RowDataPacket {
  table: string
  name: string
  type: string
  /** Such as `auto_increment`. */
  extra: string
  /** The place of the column in the primary key, if it has one. */
  keyPlace: number | null
}

const [columns] = await shop.query<SourceColumn[]>(`
  select c.table_name as \`table\`, c.column_name as name, c.data_type as type, c.extra as extra,
    k.ordinal_position as keyPlace
  from information_schema.columns c
  join information_schema.tables t using (table_schema, table_name)
  left join information_schema.key_column_usage k
    on (k.table_schema, k.table_name, k.column_name, k.constraint_name)
      = (c.table_schema, c.table_name, c.column_name, 'PRIMARY')
  where c.table_schema = database() and t.table_type in ('BASE TABLE', 'SYSTEM VERSIONED')
  order by c.table_name, c.ordinal_position`)

const tables = new Set(columns.map(({ table }) => table))
// #endregion

// #region query
function selectAll(table: string, columns: SourceColumn[]): string {
  const list = columns.map(({ name, type }) => {
    const column = quote(name)
    // The server rounds a `float` to six digits when it writes it as text, and no other system has dates with a zero.
    if (type === 'float') return `${column} + 0e0 as ${column}`
    if (['date', 'datetime', 'timestamp'].includes(type)) return `nullif(${column}, 0) as ${column}`
    return column
  })
  return `select ${list.join(', ')} from ${quote(table)}`
}

const quote = (name: string) => `\`${name.replaceAll('`', '``')}\``
// #endregion

// #region define
const registry = new JobRegistry({ storage: memoryStorage(), datasources: { shop: mysqlDatasource({ pool: shop }) } })

for (const name of tables) {
  const ofTable = columns.filter(({ table }) => table === name)
  const inKey = ofTable.filter(({ keyPlace }) => keyPlace !== null)
  const key = inKey.sort((a, b) => Number(a.keyPlace) - Number(b.keyPlace)).map(({ name }) => name)
  const grows = key.length === 1 && inKey.every(({ extra }) => extra.includes('auto_increment'))
  registry.define({
    id: name,
    datasource: 'shop',
    // Names may have braces, so variables would be written in other delimiters.
    query: `{{=<% %>=}}${selectAll(name, ofTable)}`,
    ...(grows ? { cursor: key } : {}),
    target: postgresTarget({
      pool: copy,
      table: { schema: 'public', name },
      createTable: true,
      ...(key.length > 0 ? { mode: 'upsert', key } : { strategy: 'replace' }),
    }),
  })
}
// #endregion

// #region run
const copies = [...tables].map(async (name) => {
  const { finished } = await registry.start('ingestion', name)
  const status = await finished
  console.log(`${name}: ${status.state}, ${status.count} records`)
  if (status.state === 'error') console.log(status.error.join('\n'))
})
await Promise.all(copies)
// #endregion
await registry.close()
await Promise.all([shop.end(), copy.end()])
