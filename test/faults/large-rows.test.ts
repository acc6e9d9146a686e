import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { describePostgres } from '../support/describe-postgres.js'
import { programOf } from '../support/program.js'
import type { CopyPlan, CopyReport } from './copier.js'

/** What the large texts repeat: characters that are themselves in COPY and in JSON, or ones that both escape. */
const units = { plain: '0123456789', escaped: '012\t45\\789' }

/** Rows of the views `plain` and `escaped`: one of 80 MB between small ones. */
const large = { count: 9, size: 80 }

/** Rows of the view `many`, of 10 MB each. */
const many = { count: 60, size: 10 }

/** A text of so many MB in SQL, quickly made. */
const repeated = (unit: string, size: number) =>
  `repeat(repeat(${pg.escapeLiteral(unit)}, 1000), ${(size / unit.length) * 1000})`

describePostgres('rows that are large', (database) => {
  let admin: pg.Client
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'headgate-large-'))
    admin = new pg.Client({ connectionString: database.url })
    await admin.connect()
    const make = (name: string, text: string, count: number) =>
      admin.query(`create view ${name} as select id, ${text} as text from generate_series(1, ${count}) id`)
    for (const [kind, unit] of Object.entries(units)) {
      await make(kind, `case id when 5 then ${repeated(unit, large.size)} else 'small ' || id end`, large.count)
    }
    await make('many', repeated(units.plain, many.size), many.count)
  }, 120_000)
  afterEach(() => admin.query('drop table if exists t'))
  afterAll(async () => {
    await admin.end()
    await rm(folder, { recursive: true })
  })

  /** Copies in a process of its own. */
  const copy = async (source: string, target: string): Promise<CopyReport> => {
    const plan: CopyPlan = { url: database.url, query: `select id, text from ${source}`, target }
    const program = await programOf(new URL('copier.ts', import.meta.url))
    const { stdout } = await promisify(execFile)(process.execPath, [program, JSON.stringify(plan)])
    const report = JSON.parse(stdout) as CopyReport
    console.log(`${source} to ${target.includes('/') ? 'a file' : 'a table'}: ${Math.round(report.taken)} MB`)
    return report
  }

  /** Copies into a table: with the types of the source, rows travel in binary form, and with others as text. */
  const copyToTable = async (source: string, type: string) => {
    // To compress the texts and to log them would take most of the time.
    await admin.query(`create unlogged table t (id int, text ${type}); alter table t alter text set storage external`)
    const report = await copy(source, 't')
    const { rows } = await admin.query(
      `select (select count(*)::int from t), (select count(*)::int from t join ${source} s using (id) where s.text = t.text) as same`,
    )
    return { report, ...rows[0] }
  }

  test.each([
    ['plain', 'text', 3],
    ['escaped', 'varchar', 8],
  ])(
    'of 80 MB arrive whole in a table: %s text in a column of the type %s, with %i times the memory at most',
    async (source, type, multiple) => {
      const { report, count, same } = await copyToTable(source, type)
      expect(report).toMatchObject({ state: 'successful', count: large.count })
      expect({ count, same }).toEqual({ count: large.count, same: large.count })
      expect(report.taken).toBeLessThan(multiple * large.size)
    },
    120_000,
  )

  test.each([['escaped', 8]] as const)(
    'of 80 MB arrive whole in a file: %s text, with %i times the memory at most',
    async (source, multiple) => {
      const path = join(folder, `${source}.ndjson`)
      const report = await copy(source, path)
      expect(report).toMatchObject({ state: 'successful', count: large.count })
      const [found, expected] = [createHash('sha256'), createHash('sha256')]
      for await (const chunk of createReadStream(path, { highWaterMark: 1 << 22 })) found.update(chunk)
      const unit = JSON.stringify(units[source]).slice(1, -1)
      for (let id = 1; id <= large.count; id++) {
        const repeated = Buffer.alloc(unit.length * (large.size / units[source].length) * 1e6, unit)
        expected.update(`{"id":${id},"text":"`)
        expected.update(id === 5 ? repeated : `small ${id}`)
        expected.update('"}\n')
      }
      expect(found.digest('hex')).toBe(expected.digest('hex'))
      expect(report.taken).toBeLessThan(multiple * large.size)
    },
    120_000,
  )

  test.each([
    ['in binary form', 'text', 250],
    ['as text', 'varchar', 400],
  ])(
    'of 10 MB, sixty of them, take no more memory than a few of them: %s',
    async (_, type, most) => {
      const { report, count, same } = await copyToTable('many', type)
      expect(report).toMatchObject({ state: 'successful', count: many.count })
      expect({ count, same }).toEqual({ count: many.count, same: many.count })
      expect(report.taken).toBeLessThan(most)
    },
    120_000,
  )

  test('of 10 MB, sixty of them, take no more memory than a few of them: into a file', async () => {
    const report = await copy('many', join(folder, 'many.ndjson'))
    expect(report).toMatchObject({ state: 'successful', count: many.count })
    expect(report.taken).toBeLessThan(400)
  }, 120_000)
})
