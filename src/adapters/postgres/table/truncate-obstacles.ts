import { JobError } from '../../../adapter.js'
import { dollarQuoted, type ResultRow, type WriteSession } from '../client/index.js'
import type { TableRef } from './table.js'

/** How many obstacles of one kind an error names. */
const maxNamed = 5

/**
 * What keeps Postgres from truncating a table with its partitions and children. A foreign key that was inherited from one that is
 * listed is left out. Other foreign data wrappers than postgres_fdw have no option `truncatable`, and may fail only when they are asked.
 */
const obstaclesQuery = (table: string) => `
  with recursive tree (oid) as (
    select to_regclass(${dollarQuoted(table)})::oid
    union
    select inhrelid from tree join pg_inherits on inhparent = tree.oid
  ),
  relations as (select c.* from pg_class c join tree on tree.oid = c.oid)
  select 'view' as kind, oid::regclass::text as name, null as by from relations where relkind = 'v'
  union all
  select 'foreign', relations.oid::regclass::text, srvname
  from relations
    join pg_foreign_table on ftrelid = relations.oid
    join pg_foreign_server s on s.oid = ftserver
  where current_setting('server_version_num')::int < 140000
    or coalesce(
      (select option_value from pg_options_to_table(ftoptions) where option_name = 'truncatable'),
      (select option_value from pg_options_to_table(srvoptions) where option_name = 'truncatable')
    ) in ('false', 'off', '0')
  union all
  select 'key', quote_ident(k.conname), k.conrelid::regclass::text
  from pg_constraint k
    join relations on relations.oid = k.confrelid and (relhastriggers or relkind = 'p')
    left join pg_constraint parent on parent.oid = k.conparentid
  where k.contype = 'f'
    and k.conrelid not in (select oid from tree)
    and (parent.oid is null or parent.confrelid not in (select oid from tree))
  union all
  select 'right', quote_ident(current_user), null
  from pg_class
  where oid = to_regclass(${dollarQuoted(table)}) and relkind <> 'v' and not has_table_privilege(oid, 'truncate')
  order by 1, 2`

/** The sentence about obstacles of a kind. */
const sentences: Readonly<Record<string, (title: string, found: readonly ResultRow[]) => string>> = {
  view: (title) => `\`${title}\` is a view, and Postgres truncates only tables: name its table in \`table\`.`,
  foreign: (_, found) =>
    `Postgres cannot truncate ${named(found, ({ name, by }) => `the foreign table ${name} of the server ${by}`)}.`,
  key: (title, found) =>
    `Postgres does not truncate a table that a foreign key of another one refers to, and \`${title}\` has ` +
    `${named(found, ({ name, by }) => `${name} of ${by}`)}: drop the foreign key, or merge with \`mode: 'upsert'\`.`,
  right: (title, [role]) => `The role ${role?.name} may not truncate \`${title}\`: grant it \`truncate\`.`,
}

/** Throws `target` with everything that keeps Postgres from truncating a table. Changes and locks nothing. */
export async function refuseTruncate(session: WriteSession, { sql, title }: TableRef): Promise<void> {
  const found = await session.queryUntimed(obstaclesQuery(sql))
  if (found.length === 0) return
  const texts = Object.entries(sentences).flatMap(([kind, sentence]) => {
    const ofKind = found.filter((row) => row.kind === kind)
    return ofKind.length === 0 ? [] : [sentence(title, ofKind)]
  })
  throw new JobError(
    'target',
    `${texts.join(' ')} Or remove the rows of \`${title}\` yourself, and call \`reset\` in place of the full refresh.`,
  )
}

function named(rows: readonly ResultRow[], textOf: (row: ResultRow) => string): string {
  const more = rows.length > maxNamed ? [`${rows.length - maxNamed} more`] : []
  return [...rows.slice(0, maxNamed).map(textOf), ...more].join(', ')
}
