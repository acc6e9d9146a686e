import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmdirSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type FailurePolicy, JobRegistry, memoryStorage } from 'headgate'
import { type PostgresTargetOptions, postgresDatasource, postgresTarget } from 'headgate/postgres'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { type OwnPostgres, startEmbedded } from '../support/postgres.js'

/** The size of the disk, in bytes. */
const diskSize = 96 << 20

/** What is left of it for the target while something else fills it, in bytes. */
const room = 8 << 20

/** How many rows there are, of a kilobyte each: more than there is room for. */
const rowCount = 20_000

const batchSize = 100

/** A small disk for the server, or `undefined` where none can be mounted: that takes root, on Linux. In CI it has to be. */
function mountDisk(): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'headgate-disk-'))
  try {
    const [uid, gid] = ['-u', '-g'].map((flag) => execFileSync('id', [flag, 'nobody'], { encoding: 'utf8' }).trim())
    const options = `size=${diskSize},mode=700,uid=${uid},gid=${gid}`
    execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'headgate', folder], { stdio: 'pipe' })
    return folder
  } catch (error) {
    rmdirSync(folder)
    if (process.env.CI) throw error
    console.warn(`No disk of its own, so tests of a full one are skipped: ${(error as Error).message}`)
    return undefined
  }
}

const disk = mountDisk()

/** The codes of an error and its causes. */
function codesOf(error: unknown): unknown[] {
  return error instanceof Error ? [Object(error).code, ...codesOf(error.cause)] : []
}

describe.skipIf(disk === undefined)("when the target's disk is full", () => {
  const filler = join(disk ?? '', 'filler')
  let server: OwnPostgres
  let admin: pg.Pool
  let registry: JobRegistry
  beforeAll(async () => {
    server = await startEmbedded()
    admin = new pg.Pool({ connectionString: server.url })
    await admin.query(`create tablespace small location '${disk}'`)
    await admin.query(`create table source as select id, repeat(md5(id::text), 32) as text from generate_series(1, ${rowCount}) id;
      alter table source add primary key (id)`)
  })
  beforeEach(() => writeFile(filler, Buffer.alloc(diskSize - room)))
  afterEach(async () => {
    await registry.close()
    await admin.query('drop table t, headgate_checkpoint')
  })
  afterAll(async () => {
    await admin.end()
    await server.stop()
    execFileSync('umount', ['--lazy', disk as string])
    rmdirSync(disk as string)
  })

  /** A job into a table on the small disk, which is tried again after errors that pass. */
  const define = async (options: Partial<PostgresTargetOptions>, failures?: FailurePolicy) => {
    const key = options.mode === 'upsert' ? 'primary key' : ''
    await admin.query(`create table t (id int ${key}, text text) tablespace small`)
    const source = postgresDatasource({ connectionString: server.url })
    registry = new JobRegistry({ storage: memoryStorage(), datasources: { source }, progressInterval: 0 })
    const causes: unknown[] = []
    registry.on('error', ({ cause }) => causes.push(cause))
    const target = postgresTarget({ connectionString: server.url, table: 't', ...options })
    const open = vi.fn(target.open)
    registry.define({
      id: 'copy',
      datasource: 'source',
      query: 'table source',
      cursor: 'id',
      batchSize,
      target: { ...target, open },
      resume: 'auto',
      retry: { delay: 1 },
      ...(failures && { failures }),
    })
    const run = async () => (await registry.start('ingestion', 'copy')).finished
    return { run, causes, open }
  }

  const look = async () => {
    const { rows } =
      await admin.query(`select count(*)::int, coalesce(max(id), 0) as max, count(distinct id)::int as ids,
      count(*) filter (where text = repeat(md5(id::text), 32))::int as whole from t`)
    return rows[0]
  }
  const whole = (count: number) => ({ count, max: count, ids: count, whole: count })

  test.each([
    [{}, undefined],
    [{ mode: 'upsert', key: 'id' }, undefined],
    [{}, { total: rowCount, consecutive: rowCount }],
  ] as const)(
    'the job fails with the last checkpoint in the table, and goes on when there is room (%j, %j)',
    async (options, failures) => {
      const { run, causes, open } = await define(options, failures)
      const failed = await run()
      expect(failed).toMatchObject({
        state: 'error',
        error: expect.arrayContaining([expect.stringMatching(/No space left on device/)]),
        detail: { failed: 0 },
      })
      expect(codesOf(causes[0])).toContain('53100')
      expect(open).toHaveBeenCalledTimes(1)
      expect(failed.count).toBeGreaterThan(0)
      expect(failed.count % batchSize).toBe(0)
      expect(failed.lastId).toBe(String(failed.count))
      expect(await look()).toEqual(whole(failed.count))

      // As long as there is none, it fails again, and loses nothing.
      const again = await run()
      expect(again.state).toBe('error')
      expect(await look()).toEqual(whole(failed.count + again.count))

      await rm(filler)
      const count = rowCount - failed.count - again.count
      expect(await run()).toMatchObject({ state: 'successful', count, detail: { read: count, written: count } })
      expect(await look()).toEqual(whole(rowCount))
    },
    60_000,
  )

  test.each(['rows', 'rename'] as const)(
    'a replace leaves the old rows, and takes their place when there is room (%s)',
    async (swap) => {
      const { run } = await define({ strategy: 'replace', swap })
      await admin.query(`insert into t select id, repeat(md5(id::text), 32) from generate_series(1, 1000) id`)
      expect(await run()).toMatchObject({ state: 'error' })
      expect(await look()).toEqual(whole(1000))
      await rm(filler)
      expect(await run()).toMatchObject({ state: 'successful' })
      expect(await look()).toEqual(whole(rowCount))
      const { rowCount: staged } = await admin.query(`select from pg_class where relname ~ 'headgate_[0-9a-f]{8}'`)
      expect(staged).toBe(0)
    },
    60_000,
  )
})
