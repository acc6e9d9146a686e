/** What keeps the line that processes share. */
export type Engine =
  | { readonly kind: 'redis'; readonly url: string }
  | { readonly kind: 'postgres'; readonly connectionString: string }

/** What a process is that shares a line. */
export interface SharerPlan {
  readonly name: string
  /** The Postgres of the storage, the source and the target. */
  readonly url: string
  readonly engine: Engine
  /** The ids of its jobs. */
  readonly jobs: readonly string[]
  /** How many of them it runs at once. */
  readonly concurrency: number
  /** How long a lease holds, in milliseconds. */
  readonly lease: number
  /** The milliseconds between the starts of a job `task/tick`, if there is to be one. */
  readonly every?: number
  /** Whether it dies when it puts an execution in line, which storage holds by then. */
  readonly diesInLine?: boolean
}

/** What a process tells: that it is ready, or that a start was accepted. */
export type Said = 'ready' | { readonly accepted: string }

/** How many rows a job copies. */
export const rowCount = 100

/** Makes the tables that the jobs work on. */
export const tables = `
  create table source as select id::bigint as id from generate_series(1, ${rowCount}) id;
  alter table source add primary key (id);
  create table copied (job text, id bigint);
  create table overlap (job text, execution text)`

/** Reads the source slowly enough to be killed in the middle: about 0.4 seconds. */
export const queryOf = (job: string) => `
  select '${job}' as job, id, case when id % 20 = 0 then pg_sleep(0.08)::text end as pause
  from source {{#last_id}}where id > {{last_id}}{{/last_id}} order by id`
