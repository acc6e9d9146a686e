import { JobError } from '../../../adapter.js'
import type { Names } from './migrations.js'

/** The SQLSTATE for a role that lacks a privilege. */
const denied = '42501'

/** What the role of a storage lacks, as SQL names and flags. */
type Rights = Readonly<Record<'role' | 'db' | 'made' | 'usable' | 'creatable' | 'owner' | 'lacking', string | null>>

/** Whether the server refuses a statement for want of a privilege. */
export function isDenied(error: unknown): boolean {
  return Object(error).code === denied
}

/** The query for what the role may do with the schema, and for the tables that it may not use. */
export function rightsIn({ literal }: Names): string {
  return `select quote_ident(current_user) as role, quote_ident(current_database()) as db, (n.oid is not null)::text as made,
      has_schema_privilege(n.oid, 'usage')::text as usable, has_schema_privilege(n.oid, 'create')::text as creatable,
      (select quote_ident(min(pg_get_userbyid(c.relowner))) from pg_class c
        where c.relnamespace = n.oid and c.relkind = 'r' and not pg_has_role(c.relowner, 'usage')) as owner,
      (select string_agg(format('%I.%I', n.nspname, c.relname), ', ' order by c.relname) from pg_class c
        where c.relnamespace = n.oid and c.relkind = 'r' and not (has_table_privilege(c.oid, 'select')
          and has_table_privilege(c.oid, 'insert') and has_table_privilege(c.oid, 'update')
          and has_table_privilege(c.oid, 'delete'))) as lacking
    from (values (1)) one left join pg_namespace n on n.nspname = ${literal}`
}

/** Explains a refused statement by the grant that the role lacks, as {@link rightsIn} tells. */
export function deniedError(cause: unknown, { schema }: Names, rights: Rights): JobError {
  const { role } = rights
  const grant = grantOf(schema, rights)
  const remedy = grant ? `Run as the owner or a superuser: \`${grant}\`.` : 'The cause names the object.'
  const message = `The role ${role} lacks a right in the schema ${schema} of the storage (SQLSTATE ${denied}). ${remedy}`
  return new JobError('storage', message, { cause })
}

function grantOf(schema: string, { role, db, made, usable, creatable, owner, lacking }: Rights): string | undefined {
  if (made !== 'true') return `grant create on database ${db} to ${role}`
  if (usable !== 'true') return `grant usage, create on schema ${schema} to ${role}`
  if (lacking) return `grant select, insert, update, delete on ${lacking} to ${role}`
  if (creatable !== 'true') return `grant create on schema ${schema} to ${role}`
  // Only an owner may upgrade tables.
  return owner ? `grant ${owner} to ${role}` : undefined
}
