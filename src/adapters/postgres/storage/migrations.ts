/** The database's time in whole epoch milliseconds. */
export const now = 'floor(extract(epoch from clock_timestamp()) * 1000)::int8'

/** The database's time in 1/4096 of a millisecond. */
export const nowInTicks = 'floor(extract(epoch from clock_timestamp()) * 4096000)::int8'

/** The milliseconds of an hour, the unit of the tally. */
export const hour = 3_600_000

/** SQL for whether an execution has a lease: an unclaimed one has none. An index separates those that have. */
export const hasLease = 'lease is not null'

/** SQL for whether an execution is that of a job itself. Indexes separate these from partitions. */
export const isOfJob = 'partition is null'

/** The names of the objects in a schema, as SQL. */
export interface Names {
  readonly job: string
  readonly log: string
  readonly tally: string
  readonly pause: string
  readonly migration: string
  readonly schema: string
  /** The name of the schema as a SQL literal. */
  readonly literal: string
}

/** The names in a schema. The schema name is simple and only quoted because it may be a keyword. */
export function namesIn(schema: string): Names {
  const quoted = `"${schema}"`
  return {
    job: `${quoted}.job`,
    log: `${quoted}.log`,
    tally: `${quoted}.tally`,
    pause: `${quoted}.pause`,
    migration: `${quoted}.migration`,
    schema: quoted,
    literal: `'${schema}'`,
  }
}

/** The migrations to each version of the schema, oldest first. A released migration never changes. */
export const migrations: readonly ((names: Names) => string)[] = [
  tables,
  tallies,
  details,
  waits,
  owners,
  partitions,
  management,
  failures,
]

/**
 * `job` has one row per type and id, and later per partition: its live or last execution. `log` has every execution that has ended. Ids
 * compare bytewise. A digest identifies a job, because the longest ids are too long for an index. Columns that may
 * contain the character NUL, which text cannot hold, are JSON.
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
 * A UUID of version 7. A tick is the time of the database in 1/4096 of a millisecond. The UUID holds the fraction
 * after the version, as `uuidv7` of Postgres does.
 */
function uuidOfTick(schema: string): string {
  return `create function ${schema}.uuid_of_tick(tick int8) returns uuid language sql volatile as $body$
      select (lpad(to_hex($1 >> 12), 12, '0') || '7' || lpad(to_hex($1 & 4095), 3, '0')
        || right(gen_random_uuid()::text, 17))::uuid
    $body$;`
}

/**
 * `tally` counts the log without reading it, by the hour of the start: every logged execution adds 1, and every
 * deletion subtracts. Rows are only inserted, so that nothing waits. Maintenance compacts them.
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

/** `detail` is JSON and usually null. */
function details({ job, log }: Names): string {
  return `
    alter table ${job} add column detail json;
    alter table ${log} add column detail json;`
}

/**
 * Any number of executions may be queued without a node; the check for expired leases skips them. Executions of
 * hidden types may be most of the log; searches for others skip them.
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

/**
 * An execution that no node has claimed has neither `claimed_by` nor a lease. The new name makes every statement of an
 * older version fail, which takes '' for unclaimed. Pages of executions are in the order of their UUIDs.
 */
function owners({ schema, job, log }: Names): string {
  const owned = (table: string, ...columns: string[]) => `
    alter table ${table} rename column node to claimed_by;
    ${['claimed_by', ...columns].map((column) => `alter table ${table} alter column ${column} drop not null;`).join(' ')}
    update ${table} set ${['claimed_by', ...columns].map((column) => `${column} = null`).join(', ')} where claimed_by = '';`
  return `${owned(job, 'lease', 'lease_until')} ${owned(log, 'lease_until')}
    drop index ${schema}.job_may_expire;
    create index job_may_expire on ${job} (type) where end_time is null and lease is not null;
    drop index ${schema}.job_live;
    create index job_live on ${job} (type, uuid) where end_time is null;
    drop index ${schema}.job_orphaned;
    create index job_orphaned on ${job} (uuid) where is_orphaned;`
}

/**
 * A partition had the type and id `_type` and `id#3`. The key of a partition begins with its number and a slash. Executions
 * of partitions may be most of the log; indexes and the tally separate them.
 */
function partitions({ schema, job, log, tally }: Names): string {
  const renamed = (table: string, key: string, also = '') => `
    update ${table} set type = whole.type, id = whole.id, partition = whole.n, resumed_from = whole.id || right(resumed_from, 36)${also}
      from (select ${key}, substr(type, 2) as type, left(id, -1 - length(substring(id from '[0-9]+$'))) as id,
        substring(id from '[0-9]+$')::int4 as n from ${table}
        where left(type, 1) = '_' and length(type) > 1 and id ~ '.#(0|[1-9][0-9]{0,8})$') whole
      where ${table}.${key} = whole.${key};`
  return `
    alter table ${job} add column partition int4;
    alter table ${log} add column partition int4;
    ${['log_state', 'log_shown', 'log_type', 'log_id'].map((index) => `drop index ${schema}.${index};`).join(' ')}
    ${renamed(
      job,
      'key',
      `,
      key = sha256(convert_to(whole.n::text || '/' || length(whole.type)::text || ':' || whole.type || whole.id, 'UTF8'))`,
    )}
    ${renamed(log, 'uuid')}
    create index log_state on ${log} (state, uuid) where partition is null;
    create index log_shown on ${log} (uuid) where partition is null;
    create index log_type on ${log} (type, state, uuid) where partition is null;
    create index log_id on ${log} (id, state, uuid) where partition is null;
    create index log_partition on ${log} (id, partition, uuid) where partition is not null;

    alter table ${tally} add column is_partition boolean;
    delete from ${tally};
    insert into ${tally} (hour, type, state, is_partition, n, first_time)
      select start_time / ${hour}, type, state, partition is not null, count(*), min(${schema}.accept_time(uuid)) from ${log}
      group by 1, 2, 3, 4;
    alter table ${tally} alter column is_partition set not null;
    create or replace function ${schema}.tally_went() returns trigger language plpgsql as $body$
    begin
      insert into ${tally} (hour, type, state, is_partition, n, first_time)
        select start_time / ${hour}, type, state, partition is not null, -count(*), min(${schema}.accept_time(uuid)) from went
        group by 1, 2, 3, 4;
      return null;
    end $body$;`
}

/**
 * `pause` has one row per paused job; that with an empty type and id pauses all jobs. In `job`, a row with the epoch 0 holds
 * the checkpoint of a job that never ran. Only the log knows who notifies of an end, until when.
 */
function management({ job, log, pause }: Names): string {
  return `
    ${[job, log]
      .map(
        (table) => `alter table ${table} add column params json, add column abort_reason json, add column log_tail json,
          add column notifies_end boolean, add column is_end_notified boolean;`,
      )
      .join(' ')}
    alter table ${log} add column end_claimed_by text, add column end_claimed_until int8;
    create index log_open_end on ${log} (end_time, uuid) where notifies_end and is_end_notified is null;

    create table ${pause} (
      key bytea primary key, type text collate "C" not null, id text collate "C" not null, since int8 not null,
      reason json, paused_by json
    );`
}

/** `failure` is JSON. */
function failures({ job, log }: Names): string {
  return `
    alter table ${job} add column failure json;
    alter table ${log} add column failure json;`
}

/** The query for whether a schema has versions. */
export function hasVersions({ literal }: Names): string {
  return `select (to_regclass(format('%I.migration', ${literal})) is not null)::text as answer`
}

/** The query for the version of a schema that has one. */
export function versionOf({ migration }: Names): string {
  return `select coalesce(max(version), 0)::text as answer from ${migration}`
}

/**
 * The statement that migrates a schema to a version, in one transaction under a lock, so that any number of processes
 * may send it at once. It does nothing when the schema has that version. It is one block, because not every client
 * can send several statements.
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
