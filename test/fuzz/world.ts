import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type IngestionJob, JobRegistry, type JobStorage, memoryStorage } from 'headgate'
import { postgresDatasource } from 'headgate/datasource/postgres'
import { postgresStorage } from 'headgate/storage/postgres'
import { sqliteStorage } from 'headgate/storage/sqlite'
import { ndjsonFile } from 'headgate/target/ndjson-file'
import { postgresTarget } from 'headgate/target/postgres'
import type pg from 'pg'
import { isFile, isReplace, type Plan } from './plan.js'

/** Where a round takes place. */
export interface Place {
  /** The database, of its own. */
  readonly url: string
  /** A folder, of its own. */
  readonly folder: string
}

/** The name that headgate's connections have in a round. */
export const applicationName = 'headgate-fuzz'

/** The id of the job of a round. */
export const jobId = 'copy'

/** The names of the source's own columns, beside those that the plan draws. */
const nameOf = (index: number) => ['plain', 'Quoted "name"', 'constructor', 'ünï', 'select'][index] as string

const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`

/** Makes the source, and the target unless the job is to. */
export async function prepare(plan: Plan, pool: pg.Pool): Promise<void> {
  const columns = plan.columns.map(({ type }, index) => `${quoted(nameOf(index))} ${type}`)
  const all = ['id int8 primary key', 'changed_at timestamptz not null', ...columns].join(', ')
  await pool.query(`create table source (${all}); create index on source (changed_at, id)`)
  if (!plan.write.createTable && !isFile(plan.write.kind)) await pool.query(`create table copy (${all})`)
  await add(plan, pool, plan.rows)
}

/** Adds rows behind all others. */
export async function add(plan: Plan, pool: pg.Pool, count: number): Promise<void> {
  for (let n = 0; n < count; n++) {
    const values = plan.columns.map(({ values }) => values[n % values.length] ?? null)
    const places = values.map((_, index) => `, $${index + 1}`).join('')
    await pool.query(
      `insert into source select coalesce(max(id), 0) + 1, clock_timestamp()${places} from source`,
      values,
    )
  }
}

/** Changes the first rows: they come behind all others by time. */
export async function change(pool: pg.Pool, count: number): Promise<void> {
  await pool.query(`update source set changed_at = clock_timestamp() where id <= $1`, [count])
}

/** Opens a registry with the job of a round. */
export function open(plan: Plan, { url, folder }: Place, storage: JobStorage): JobRegistry {
  const named = new URL(url)
  named.searchParams.set('application_name', applicationName)
  const connectionString = named.href
  const registry = new JobRegistry({
    storage,
    datasources: { source: postgresDatasource({ connectionString }) },
    lease: 1000,
    progressInterval: 20,
  })
  registry.define(jobOf(plan, connectionString, folder))
  return registry
}

/** Opens the storage of a round. */
export function openStorage(plan: Plan, { url, folder }: Place): JobStorage {
  if (plan.storage === 'sqlite') return sqliteStorage({ path: join(folder, 'jobs.db') })
  return plan.storage === 'postgres' ? postgresStorage({ connectionString: url }) : memoryStorage()
}

function jobOf({ read, write, rate, resume }: Plan, connectionString: string, folder: string): IngestionJob {
  const { way, isByTime, consistency, parallel, partitions, records, batchSize, batchBytes } = read
  const cursor = isByTime || write.kind === 'upsert' ? ['changed_at', 'id'] : ['id']
  const ways: Record<
    Plan['read']['way'],
    Pick<IngestionJob, 'query' | 'cursor' | 'parallel' | 'partitions' | 'pkField'>
  > = {
    cursor: {
      query: 'select * from source',
      cursor: { columns: cursor, consistency: parallel > 1 ? 'snapshot' : consistency },
      ...(parallel > 1 && { parallel }),
      ...(partitions > 1 && { partitions }),
    },
    template: {
      query: 'select * from source {{#last_id}}where id > {{last_id}}{{/last_id}} order by id',
      pkField: 'id',
    },
    whole: { query: 'select * from source order by id' },
  }
  return {
    id: jobId,
    datasource: 'source',
    ...ways[way],
    batchSize,
    batchBytes,
    resume,
    rateLimit: { rows: rate },
    ...(records !== null && { records }),
    ...(write.transform === 'records' && { transform: (record) => record }),
    ...(write.transform === 'batches' && { transformBatch: (batch) => batch.records() }),
    ...(write.isTolerant && { failures: { total: 0 } }),
    target: targetOf(write, connectionString, folder),
  }
}

function targetOf(write: Plan['write'], connectionString: string, folder: string) {
  const { kind, connections, createTable } = write
  const path = join(folder, 'copy.ndjson')
  if (kind === 'file') return ndjsonFile({ path, strategy: 'append' })
  if (kind === 'new file') return ndjsonFile({ path, strategy: 'replace', maxShrink: 1 })
  return postgresTarget({
    connectionString,
    table: 'copy',
    createTable,
    ...((kind === 'upsert' || createTable) && { key: 'id' }),
    ...(kind === 'upsert' && { mode: 'upsert' as const }),
    ...(isReplace(kind)
      ? { strategy: 'replace' as const, swap: kind as 'rows' | 'rename', maxShrink: 1 }
      : { connections: connections as 1 | 2 }),
  })
}

/** What differs between source and target; `undefined` when they are equal. */
export async function difference(plan: Plan, pool: pg.Pool, folder: string): Promise<string | undefined> {
  const expected = isFile(plan.write.kind) ? await linesOf(plan, pool) : await rowsOf(pool, 'source')
  const got = isFile(plan.write.kind) ? await readLines(join(folder, 'copy.ndjson')) : await rowsOf(pool, 'copy')
  const missing = expected.filter((row) => !got.includes(row))
  const extra = got.filter((row) => !expected.includes(row))
  if (missing.length + extra.length === 0 && expected.length === got.length) return undefined
  const first = (rows: string[]) => rows.slice(0, 3).join('\n    ')
  return `source ${expected.length} rows, target ${got.length}; ${missing.length} missing:\n    ${first(missing)}
  ${extra.length} extra:\n    ${first(extra)}`
}

async function rowsOf(pool: pg.Pool, table: string): Promise<string[]> {
  const { rows: found } = await pool.query(`select to_regclass($1) is not null as there`, [table])
  if (!found[0]?.there) return []
  const { rows } = await pool.query(`select t::text as row from ${table} t order by id`)
  return rows.map(({ row }) => row as string)
}

async function readLines(path: string): Promise<string[]> {
  const text = await readFile(path, 'utf8').catch(() => '')
  return text === '' ? [] : text.replace(/\n$/, '').split('\n')
}

/** The lines of the source, made by the types of JavaScript alone. */
async function linesOf({ columns }: Plan, pool: pg.Pool): Promise<string[]> {
  const { rows } = await pool.query({
    text: `select id::text, to_char(changed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') as changed_at,
      ${['', ...columns.map((_, index) => quoted(nameOf(index)))].join(', ').slice(1) || '1'} from source order by id`,
    rowMode: 'array',
  })
  return rows.map(([id, time, ...values]) => {
    const own = columns.map((_, index) => [nameOf(index), values[index]])
    const at = `${String(time).replace(/\.?0+$/, '')}Z`
    return JSON.stringify(Object.fromEntries([['id', id], ['changed_at', at], ...own]))
  })
}
