import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { CursorOptions } from 'headgate'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { programOf } from '../../support/program.js'

/** So many that a copy in small batches is not over before it is killed. */
const rowCount = 12_000

describePostgres('a copy by a cursor that is killed again and again', (database) => {
  let client: pg.Client
  beforeAll(async () => {
    client = new pg.Client(database.url)
    await client.connect()
    // Groups of up to 220 ties, and some nulls.
    await client.query(`create table source as
      select id, nullif((sqrt(id)::int * 7919) % 1000, 13) as key from generate_series(1, ${rowCount}) id;
      create index on source (key, id)`)
  })
  afterAll(() => client.end())

  const cursors: CursorOptions[] = [
    { columns: 'key', ties: 'drain', nulls: 'first', consistency: 'pages' },
    { columns: ['key', 'id'], nulls: 'first', consistency: 'statement' },
  ]

  test.each(cursors)(
    'has every record once: %j',
    async (cursor) => {
      await client.query('drop table if exists copies, headgate_checkpoint; create table copies (like source)')
      let kills = 0
      for (let killAfter = 1; kills < 3; killAfter++) {
        const said = await run(cursor, 1 + (killAfter % 4))
        if (said.at(-1)?.state === 'successful') break
        kills++
      }
      expect(kills).toBeGreaterThan(1)
      const said = await run(cursor)
      expect(said.at(-1)).toMatchObject({ state: 'successful' })
      const { rows } = await client.query(`select count(*)::int as count, count(distinct id)::int as ids from copies`)
      expect(rows).toEqual([{ count: rowCount, ids: rowCount }])
      expect(said.at(-1)?.count).toBeLessThan(rowCount)
    },
    60_000,
  )

  /** Runs the process to its end, or kills it at some moment after so many reports. */
  async function run(cursor: CursorOptions, killAfter?: number) {
    const program = await programOf(new URL('cursor-process.ts', import.meta.url))
    const args = [program, database.url, JSON.stringify(cursor)]
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    const closed = once(child, 'close')
    const said: { state?: string; count: number }[] = []
    for await (const line of createInterface({ input: child.stdout })) {
      said.push(JSON.parse(line))
      if (said.length === killAfter) setTimeout(() => child.kill('SIGKILL'), Math.random() * 20)
    }
    await closed
    return said
  }
})
