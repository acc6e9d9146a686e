import { JobError } from '../../../adapter.js'
import type { Connection } from './connection.js'

/** The columns of an execution in version 5. */
const keptColumns = `type, id, execution_id, position, state, epoch, start_time, end_time, count, last_id, checkpoint, error,
  is_orphaned, resumed_from, takeovers, changed, detail, scheduled_for, claimed_by, lease_until`

/**
 * The migrations to the current tables. A file of version n has run the first n, so a released migration never
 * changes.
 *
 * `headgate_job` holds the last execution of every job and every partition, live or ended. `headgate_log` holds the ended executions in
 * the order in which they ended; `seq` has no gaps, because rows are deleted only from its lower end. `position` is
 * the order of the log. `last_id`, `checkpoint`, `detail` and `error` are JSON, whose text has no NUL and no lone
 * surrogate. `changed` increases with every change of state, over both tables.
 */
export const migrations: readonly string[] = [
  `create table headgate_job (
    type text not null,
    id text not null,
    ${executionColumns()},
    primary key (type, id)
  ) strict;
  create table headgate_log (
    seq integer primary key,
    type text not null,
    id text not null,
    ${executionColumns()}
  ) strict;`,

  `alter table headgate_job add column changed integer not null default 0;
  alter table headgate_log add column changed integer not null default 0;
  create unique index headgate_job_execution on headgate_job (execution_id);
  create index headgate_job_lease on headgate_job (lease_until) where end_time is null;
  create index headgate_job_live on headgate_job (type, start_time) where end_time is null;
  create index headgate_job_orphan on headgate_job (type, id) where is_orphaned is not null;
  create index headgate_job_changed on headgate_job (changed);
  create index headgate_log_position on headgate_log (position, type, id, state, start_time);
  create index headgate_log_id on headgate_log (id, position, type, state, start_time);
  create index headgate_log_changed on headgate_log (changed);`,

  `alter table headgate_job add column detail text;
  alter table headgate_log add column detail text;`,

  `alter table headgate_job add column scheduled_for integer;
  alter table headgate_log add column scheduled_for integer;`,

  // The new name of `node` makes every call of an older version fail, which takes '' for unclaimed.
  `drop index headgate_job_lease;
  ${['headgate_job', 'headgate_log'].map(withoutOwner).join('')}
  create index headgate_job_lease on headgate_job (lease_until) where end_time is null;
  drop index headgate_job_live;
  create index headgate_job_live on headgate_job (type, position) where end_time is null;
  drop index headgate_job_orphan;
  create index headgate_job_orphan on headgate_job (position) where is_orphaned is not null;`,

  // A partition had the type and id `_type` and `id#3`. SQLite cannot change a primary key.
  `create table headgate_new_job (
    type text not null,
    id text not null,
    partition integer not null default -1,
    execution_id text not null,
    position text not null,
    state text not null,
    epoch integer not null,
    start_time integer not null,
    end_time integer,
    count integer not null,
    last_id text,
    checkpoint text,
    error text,
    is_orphaned integer,
    resumed_from text,
    takeovers integer,
    changed integer not null default 0,
    detail text,
    scheduled_for integer,
    claimed_by text,
    lease_until integer,
    primary key (type, id, partition)
  ) strict;
  insert into headgate_new_job (${keptColumns}) select ${keptColumns} from headgate_job;
  drop table headgate_job;
  alter table headgate_new_job rename to headgate_job;
  alter table headgate_log add column partition integer not null default -1;
  drop index headgate_log_position;
  drop index headgate_log_id;
  ${['headgate_job', 'headgate_log'].map(withPartitions).join('')}
  create unique index headgate_job_execution on headgate_job (execution_id);
  create index headgate_job_lease on headgate_job (lease_until) where end_time is null;
  create index headgate_job_live on headgate_job (type, position) where end_time is null;
  create index headgate_job_orphan on headgate_job (position) where is_orphaned is not null;
  create index headgate_job_changed on headgate_job (changed);
  create index headgate_log_position on headgate_log (partition, position, type, id, state, start_time);
  create index headgate_log_id on headgate_log (id, partition, position, type, state, start_time);`,

  // In `headgate_job`, a row with the epoch 0 holds the checkpoint of a job that never ran. An empty type and id pause all jobs.
  `${['headgate_job', 'headgate_log'].map(withManagement).join('')}
  alter table headgate_log add column end_claimed_by text;
  alter table headgate_log add column end_claimed_until integer;
  create index headgate_log_open_end on headgate_log (seq) where notifies_end is not null and is_end_notified is null;
  create index headgate_log_open_end_id on headgate_log (execution_id) where notifies_end is not null and is_end_notified is null;
  create table headgate_pause (
    type text not null,
    id text not null,
    since integer not null,
    reason text,
    paused_by text,
    primary key (type, id)
  ) strict;`,

  `alter table headgate_job add column failure text;
  alter table headgate_log add column failure text;`,
]

function withManagement(table: string): string {
  const columns = [
    'params text',
    'abort_reason text',
    'log_tail text',
    'notifies_end integer',
    'is_end_notified integer',
  ]
  return columns.map((column) => `alter table ${table} add column ${column};`).join('')
}

/** The digits at the end of the id of a partition, with the `#` before them. */
function withPartitions(table: string): string {
  const digits = `substr(id, length(rtrim(id, '0123456789')) + 1)`
  const parent = `substr(id, 1, length(rtrim(id, '0123456789')) - 1)`
  return `update ${table} set type = substr(type, 2), id = ${parent}, partition = cast(${digits} as integer),
    execution_id = ${parent} || position, resumed_from = ${parent} || substr(resumed_from, -36)
    where substr(type, 1, 1) = '_' and length(type) > 1 and rtrim(id, '0123456789') like '_%#'
      and length(${digits}) between 1 and 9 and cast(cast(${digits} as integer) as text) = ${digits};`
}

/** An execution without a node has no lease: both columns are null. SQLite cannot drop a constraint. */
function withoutOwner(table: string): string {
  return `alter table ${table} add column claimed_by text;
  alter table ${table} add column leased_until integer;
  update ${table} set claimed_by = node, leased_until = lease_until where node <> '""';
  alter table ${table} drop column node;
  alter table ${table} drop column lease_until;
  alter table ${table} rename column leased_until to lease_until;`
}

function executionColumns(): string {
  return `execution_id text not null,
    position text not null,
    state text not null,
    epoch integer not null,
    node text not null,
    start_time integer not null,
    end_time integer,
    lease_until integer not null,
    count integer not null,
    last_id text,
    checkpoint text,
    error text,
    is_orphaned integer,
    resumed_from text,
    takeovers integer`
}

/** Migrates the tables to the current version in one atomic step, also when many processes do it at once. */
export function migrate(connection: Connection): void {
  if (versionOf(connection) === migrations.length) return
  connection.transaction('immediate', () => {
    const version = versionOf(connection)
    if (version > migrations.length) {
      throw new JobError(
        'storage',
        `Its tables have version ${version}, but this headgate supports versions up to ${migrations.length}: use a newer headgate.`,
      )
    }
    for (const step of migrations.slice(version)) connection.exec(step)
    connection.exec(
      `create table if not exists headgate_schema (version integer not null) strict;
      delete from headgate_schema;
      insert into headgate_schema values (${migrations.length});`,
    )
  })
}

function versionOf(connection: Connection): number {
  const table = connection.number("select count(*) n from sqlite_master where name = 'headgate_schema'")
  return table === 0 ? 0 : connection.number('select version n from headgate_schema')
}
