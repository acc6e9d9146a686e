import { type IngestionJob, JobRegistry, type JobRegistryOptions, type JobStorage, memoryStorage } from 'headgate'
import { postgresDatasource, postgresTarget } from 'headgate/postgres'
import pg from 'pg'
import { sharedLine } from '../../support/shared-line.js'

/** Registries that share a storage and a line, and the Postgres that they copy in. */
export class PartWorld {
  readonly admin: pg.Pool
  readonly storage: JobStorage = memoryStorage()
  readonly registries: JobRegistry[] = []
  readonly #url: string
  readonly #line = sharedLine()

  constructor(url: string) {
    this.#url = url
    this.admin = new pg.Pool({ connectionString: url, max: 3 })
    this.admin.on('error', () => undefined)
  }

  /** Another registry over the same storage. Its line is shared, unless it is told to have one of its own. */
  registry(options: Partial<JobRegistryOptions> & { isAlone?: boolean } = {}): JobRegistry {
    const { isAlone = false, ...rest } = options
    const registry = new JobRegistry({
      storage: this.storage,
      datasources: { postgres: postgresDatasource({ connectionString: this.#url }) },
      node: `node ${this.registries.length + 1}`,
      progressInterval: 5,
      ...(!isAlone && { dispatcher: this.#line.dispatcher() }),
      ...rest,
    })
    this.registries.push(registry)
    return registry
  }

  /** A job that copies `source` to `copy` in parts, as `more` says. */
  job(more: Partial<IngestionJob> = {}): IngestionJob {
    return {
      id: 'copy',
      datasource: 'postgres',
      query: 'select id, name from source',
      cursor: 'id',
      partitions: 3,
      batchSize: 10,
      target: postgresTarget({ connectionString: this.#url, table: 'copy' }),
      ...more,
    }
  }

  /** Defines the same job in all registries. */
  define(more: Partial<IngestionJob> = {}): void {
    for (const registry of this.registries) registry.define(this.job(more))
  }

  /** Makes the tables: a source with the ids from 1 to `count`, and an empty copy without a key. */
  async fill(count: number): Promise<void> {
    await this.admin.query(`drop table if exists source, copy;
      create table source (id bigint primary key, name text);
      create table copy (id bigint, name text);
      insert into source select id, 'name ' || id from generate_series(1, ${count}) id`)
  }

  /** What differs between the copy and the source. */
  async difference(): Promise<{ missing: number; foreign: number; twice: number }> {
    const { rows } = await this.admin.query(`select
      (select count(*)::int from (select * from source except all select * from copy) a) as missing,
      (select count(*)::int from (select * from copy except select * from source) a) as foreign,
      (select count(*)::int from (select id from copy group by id having count(*) > 1) a) as twice`)
    return rows[0]
  }

  /** Every execution of a part that has ended, oldest first. */
  async partsOf(id = 'copy') {
    const { hits } = await this.storage.search({ type: 'ingestion', id, includePartitions: true, size: 1000 })
    return hits.filter(({ partition }) => partition !== undefined).reverse()
  }

  /** Every execution of a part that lives. */
  async liveParts() {
    const { hits } = await this.storage.live({ type: 'ingestion', includePartitions: true })
    return hits.filter(({ partition }) => partition !== undefined)
  }

  async close(): Promise<void> {
    await Promise.all(this.registries.map((registry) => registry.close({ timeout: 5000 })))
    await this.admin.end()
  }
}

/** What a copy is like that has every record once. */
export const whole = { missing: 0, foreign: 0, twice: 0 }

/** Holds back those who come to it, until it is opened. */
export class Gate {
  readonly #arrived = deferred()
  readonly #opened = deferred()
  readonly #holds: (id: number) => boolean

  constructor(holds: (id: number) => boolean) {
    this.#holds = holds
  }

  /** Resolves when the first one is held back. */
  get reached(): Promise<void> {
    return this.#arrived.promise
  }

  open(): void {
    this.#opened.resolve()
  }

  /** A transform that holds back records. */
  readonly transform: NonNullable<IngestionJob['transform']> = async (record, { signal }) => {
    if (!this.#holds(Number((record as { id: unknown }).id))) return record
    this.#arrived.resolve()
    await new Promise<void>((resolve, reject) => {
      const stop = () => reject(signal.reason)
      signal.addEventListener('abort', stop)
      void this.#opened.promise.then(() => {
        signal.removeEventListener('abort', stop)
        resolve()
      })
      if (signal.aborted) stop()
    })
    return record
  }
}

/** A promise, and what resolves it. */
export function deferred(): { promise: Promise<void>; resolve(): void } {
  let resolve = () => {}
  const promise = new Promise<void>((done) => {
    resolve = done
  })
  return { promise, resolve: () => resolve() }
}
