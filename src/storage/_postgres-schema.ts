/** The database's clock, in whole epoch milliseconds. */
export const now = 'floor(extract(epoch from clock_timestamp()) * 1000)::int8'

/** The database's clock in 1/4096 of a millisecond. */
export const nowInTicks = 'floor(extract(epoch from clock_timestamp()) * 4096000)::int8'

/** The milliseconds of an hour, which is what the tally counts by. */
export const hour = 3_600_000

/** Whether the lease of an execution can run out: one of a hundred years waits for a node. An index holds the others apart. */
export const mayExpire = 'lease < 3153600000000'

/** Whether a search without a type shows an execution. An index holds these apart. */
export const isShown = String.raw`type not like '\_%'`

/** The names of what a schema holds, as SQL. */
export interface Names {
  readonly job: string
  readonly log: string
  readonly tally: string
  readonly migration: string
  readonly schema: string
  /** The name of the schema as a text of SQL. */
  readonly literal: string
}

/** The names in a schema: a plain name, which is quoted only because it may be a word of SQL. */
export function namesIn(schema: string): Names {
  const quoted = `"${schema}"`
  return {
    job: `${quoted}.job`,
    log: `${quoted}.log`,
    tally: `${quoted}.tally`,
    migration: `${quoted}.migration`,
    schema: quoted,
    literal: `'${schema}'`,
  }
}

/** What made each version of the schema out of the one before, oldest first. What was released stays as it is. */
export const migrations: readonly ((names: Names) => string)[] = [tables, tallies, details, waits]

/**
 * `job` has one row per type and id, its live or last execution; `log`, every execution that has ended. The text of ids
 * compares byte by byte. A job is found by a digest, as the longest ids are too long for an index. What may hold the
 * character NUL, which text cannot, is JSON.
 */
function tables({ schema, job, log }: Names): string {
  return `
    create table ${job} (
      key bytea primary key, type text collate "C" not null, id text collate "C" not null, uuid uuid not null unique,
      state text not null, epoch int8 not null, node text not null,
      tick int8 not null, start_time int8 not null, end_time int8,
      lease int8 not null, lease_until int8 not null, changed_at int8 not null,
      count int8 not null, last_id json, checkpoint json, error json,
      is_orphaned boolean, resumed_from text, takeovers int8
    ) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
    create index job_live on ${job} (type) where end_time is null;
    create index job_orphaned on ${job} (type) where is_orphaned;
    create index job_changed_at on ${job} (changed_at);

    create table ${log} (
      uuid uuid primary key, type text collate "C" not null, id text collate "C" not null,
      state text not null, epoch int8 not null, node text not null,
      start_time int8 not null, end_time int8 not null, lease_until int8 not null,
      count int8 not null, last_id json, checkpoint json, error json,
      is_orphaned boolean, resumed_from text, takeovers int8
    );
    create index log_state on ${log} (state, uuid);
    create index log_type on ${log} (type, state, uuid);
    create index log_id on ${log} (id, state, uuid);
    create index log_start_time on ${log} (start_time);
    create index log_end_time on ${log} (end_time, uuid);

    ${uuidOfTick(schema)}`
}

/**
 * A UUID of version 7. A tick is the database's time in 1/4096 of a millisecond: where the version leaves room, the UUID
 * holds the fraction, as Postgres' own `uuidv7` does.
 */
function uuidOfTick(schema: string): string {
  return `create function ${schema}.uuid_of_tick(tick int8) returns uuid language sql volatile as $body$
      select (lpad(to_hex($1 >> 12), 12, '0') || '7' || lpad(to_hex($1 & 4095), 3, '0')
        || right(gen_random_uuid()::text, 17))::uuid
    $body$;`
}

/**
 * `tally` counts the log without reading it: by the hour of the start, every execution that came adds 1, and what was
 * taken out, by whomever, is subtracted. Rows are only ever added, so that nobody waits; the housekeeping makes few of
 * many.
 */
function tallies({ schema, log, tally }: Names): string {
  return `
    create table ${tally} (
      hour int8 not null, type text collate "C" not null, state text not null, n int8 not null, first_time int8 not null
    ) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

    create function ${schema}.accept_time(uuid uuid) returns int8 language sql immutable as
      $body$ select ('x' || replace(left($1::text, 13), '-', ''))::bit(48)::int8 $body$;
    create function ${schema}.tally_went() returns trigger language plpgsql as $body$
    begin
      insert into ${tally}
        select start_time / ${hour}, type, state, -count(*), min(${schema}.accept_time(uuid)) from went group by 1, 2, 3;
      return null;
    end $body$;
    create function ${schema}.tally_emptied() returns trigger language plpgsql as $body$
    begin
      delete from ${tally};
      return null;
    end $body$;

    lock table ${log} in share row exclusive mode;
    create trigger tally_went after delete on ${log} referencing old table as went
      for each statement execute function ${schema}.tally_went();
    create trigger tally_emptied after truncate on ${log} for each statement execute function ${schema}.tally_emptied();
    insert into ${tally}
      select start_time / ${hour}, type, state, count(*), min(${schema}.accept_time(uuid)) from ${log} group by 1, 2, 3;`
}

/** `detail` is JSON, and missing for most. */
function details({ job, log }: Names): string {
  return `
    alter table ${job} add column detail json;
    alter table ${log} add column detail json;`
}

/**
 * Executions may wait for any node, in any number: looking for leases that ran out leaves them alone. Those of hidden types
 * may be most of the log: looking for others does not come across them.
 */
function waits({ schema, job, log }: Names): string {
  return String.raw`
    alter table ${job} add column scheduled_for int8;
    create index job_may_expire on ${job} (type) where end_time is null and lease < 3153600000000;
    alter table ${log} add column scheduled_for int8;
    drop index ${schema}.log_state;
    create index log_state on ${log} (state, uuid) where type not like '\_%';
    create index log_shown on ${log} (uuid) where type not like '\_%';`
}

/** The statement that tells whether a schema has versions. */
export function hasVersions({ literal }: Names): string {
  return `select (to_regclass(format('%I.migration', ${literal})) is not null)::text as answer`
}

/** The statement that tells the version of a schema that has one. */
export function versionOf({ migration }: Names): string {
  return `select coalesce(max(version), 0)::text as answer from ${migration}`
}

/**
 * The statement that brings a schema to a version: one transaction, and one at a time, so that any number of processes
 * may send it at once. It does nothing in a schema that has that version. One block, as not every client can send several
 * statements.
 */
export function migrationTo(version: number, names: Names): string {
  const { schema, migration, literal } = names
  return `do $migration$
    begin
      perform pg_advisory_xact_lock(hashtextextended('headgate ' || ${literal}, 0));
      if to_regnamespace(quote_ident(${literal})) is null then
        create schema ${schema};
      end if;
      create table if not exists ${migration} (version int4 primary key, applied_at timestamptz not null default now());
      if exists (select from ${migration} where version >= ${version}) then
        return;
      end if;
      ${migrations[version - 1]?.(names)}
      insert into ${migration} (version) values (${version});
    end $migration$`
}
