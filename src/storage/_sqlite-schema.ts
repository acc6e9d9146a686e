import { JobError } from '../index.js'
import type { Connection } from './_sqlite-connection.js'

/**
 * The steps to the present tables; a file of version n has seen the first n of them, so no step may ever change.
 *
 * `headgate_job` holds the last execution of every job, live or ended. `headgate_log` holds the ended ones in the order
 * in which they ended: `seq` has no gaps, as rows go only from its lower end. `position` is what the log is ordered by.
 * `last_id`, `checkpoint`, `detail` and `error` are JSON, whose text has no NUL and no lone surrogate. `changed` rises with every
 * change of state, over both tables.
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
]

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

/** Brings the tables up to the present version: one atomic step, also when many processes do it at once. */
export function migrate(connection: Connection): void {
  if (versionOf(connection) === migrations.length) return
  connection.transaction('immediate', () => {
    const version = versionOf(connection)
    if (version > migrations.length) {
      throw new JobError(
        'storage',
        `Its tables are of version ${version}, and this headgate knows them up to version ${migrations.length}.`,
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
