import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type IngestionDetail, type IngestionJob, JobRegistry, memoryStorage, type Target } from 'headgate'
import { ndjsonFile } from 'headgate/ndjson'
import { postgresTarget } from 'headgate/postgres'
import { testDatasource } from 'headgate/testing'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { people } from '../people.js'

const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/)
let registry: JobRegistry
beforeEach(() => {
  registry = new JobRegistry({ storage: memoryStorage(), progressInterval: 0 })
})
afterEach(() => registry.close())

let jobs = 0
/** What the status of a job tells that copies so many records. */
async function replacedBy(target: IngestionJob['target'], count: number) {
  const id = `people-${jobs++}`
  registry.define({ id, datasource: testDatasource(people(1, count)), target })
  const status = await (await registry.start('ingestion', id)).finished
  expect(status.state).toBe('successful')
  return (status.detail as IngestionDetail).replaced
}

describe('what a target has replaced', () => {
  it('is a file, with its records before and after', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'headgate-replaced-'))
    const path = join(folder, 'people.ndjson')
    expect(await replacedBy(ndjsonFile({ path }), 3)).toEqual({ how: 'file', before: 0, after: 3, time })
    expect(await replacedBy(ndjsonFile({ path }), 5)).toEqual({ how: 'file', before: 3, after: 5, time })
    expect(await replacedBy(ndjsonFile({ path, maxShrink: 1 }), 1)).toEqual({ how: 'file', after: 1, time })
    expect(await replacedBy(ndjsonFile({ path, strategy: 'append' }), 1)).toBeUndefined()
    await rm(folder, { recursive: true })
  })

  it.each([[undefined], [null], ['rename'], [{ how: 1 }]])('is absent when commit returns %j', async (answer) => {
    const target: Target = {
      kind: 'own',
      open: () => ({ writer: { write() {}, commit: async () => answer as never } }),
    }
    expect(await replacedBy(target, 1)).toBeUndefined()
  })

  it('has only the counts of a target that are whole numbers', async () => {
    const answer = { how: 'x'.repeat(1000), before: -1, after: Number.NaN }
    const target: Target = { kind: 'own', open: () => ({ writer: { write() {}, commit: async () => answer } }) }
    expect(await replacedBy(target, 1)).toEqual({ how: 'x'.repeat(100), time })
  })
})

describePostgres('what a table of Postgres has replaced', (database) => {
  it.each(['rows', 'rename'] as const)('by the swap `%s`', async (swap) => {
    const pool = new pg.Pool({ connectionString: database.url })
    await pool.query('drop table if exists t; create table t (id int primary key, name text)')
    await pool.query("insert into t select n, 'old' from generate_series(1, 4) n")
    const target = (maxShrink: number) => postgresTarget({ pool, table: 't', strategy: 'replace', swap, maxShrink })
    expect(await replacedBy(target(0.5), 6)).toEqual({ how: swap, before: 4, after: 6, time })
    expect(await replacedBy(target(1), 2)).toEqual({ how: swap, after: 2, time })
    await pool.end()
  })
})
