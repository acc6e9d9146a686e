import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import type { MysqlTargetOptions } from 'headgate/mysql'
import mysql from 'mysql2/promise'
import pg from 'pg'
import { expect, test } from 'vitest'
import { describePostgres } from '../support/describe-postgres.js'
import { describeMysql } from '../support/mysql.js'
import { programOf } from '../support/program.js'
import type { MysqlCopyPlan } from './mysql-copier.js'

/** How often processes are killed in each way of writing. */
const kills = Number(process.env.HEADGATE_TEST_KILLS ?? 2)

const rowCount = 3000

/** How many rows there are that are to be replaced. */
const oldCount = 3

describePostgres('copies to MySQL', (source) => {
  describeMysql('whose process is killed', (database) => {
    test.each([
      ['append', {}, ''],
      ['upsert', { mode: 'upsert', key: 'id' }, 'primary key'],
      ['rename', { strategy: 'replace', swap: 'rename', maxShrink: 1 }, 'primary key'],
      ['rows', { strategy: 'replace', swap: 'rows', maxShrink: 1 }, 'primary key'],
    ] as const)(
      'by %s have every row once',
      async (name, options, key) => {
        const client = new pg.Client({ connectionString: source.url })
        await client.connect()
        await client.query(
          `create table if not exists source as select id, 'name ' || id as name from generate_series(1, ${rowCount}) id`,
        )
        await client.query('create index if not exists source_id on source (id)')
        await client.end()
        const admin = await mysql.createConnection({ uri: database.url, dateStrings: true })
        await admin.query(`create table ${name}_t (id int ${key}, name varchar(30))`)
        const isReplace = 'strategy' in options
        if (isReplace) await admin.query(`insert into ${name}_t select -seq, 'old' from seq_1_to_${oldCount}`)
        const folder = await mkdtemp(join(tmpdir(), 'headgate-mysql-'))
        const plan: MysqlCopyPlan = {
          storage: join(folder, 'jobs.db'),
          source: source.url,
          query: 'select id, name from source',
          options: {
            connectionString: database.url,
            table: `${name}_t`,
            columns: { id: 'id', name: 'name' },
            ...options,
          } as MysqlTargetOptions,
        }
        const seen = new Set<number>()
        for (let killed = 0; ; ) {
          const child = spawn(
            process.execPath,
            [await programOf(new URL('mysql-copier.ts', import.meta.url)), JSON.stringify(plan)],
            {
              stdio: ['ignore', 'pipe', 'inherit'],
            },
          )
          let shown = ''
          child.stdout.setEncoding('utf8').on('data', (text) => {
            shown += text
          })
          const exited = once(child, 'close')
          const isLeft =
            killed < kills &&
            (await Promise.race([
              commits(admin, `${name}_t`).then(() => setTimeout(Math.random() * 500, true)),
              exited.then(() => false),
            ]))
          if (isLeft) {
            child.kill('SIGKILL')
            killed++
          }
          await exited
          if (isReplace) {
            const [[found]] = (await admin.query(`select count(*) as count from ${name}_t`)) as unknown as [
              [{ count: number }],
            ]
            seen.add(found.count)
          }
          if (shown === '') continue
          expect(JSON.parse(shown)).toMatchObject({ state: 'successful', lastId: String(rowCount) })
          break
        }
        const [[sum]] = (await admin.query(
          `select count(*) as count, count(distinct id) as ids, sum(name = concat('name ', id)) as same from ${name}_t`,
        )) as unknown as [[object]]
        expect(sum).toEqual({ count: rowCount, ids: rowCount, same: String(rowCount) })
        for (const count of seen) expect([oldCount, rowCount]).toContain(count)
        const [left] =
          await admin.query(`select table_name from information_schema.tables where table_schema = database() and table_name like '%headgate\\_%'
        and table_name <> 'headgate_checkpoint'`)
        expect(left).toEqual([])
        await admin.end()
        await rm(folder, { recursive: true })
      },
      120_000,
    )
  })
})

/** Resolves when a job commits its next checkpoint with records for a table. */
async function commits(admin: mysql.Connection, table: string): Promise<void> {
  const changes = async () => {
    const query = `select md5(checkpoint) from headgate_checkpoint where target = concat(database(), '.', ?) and checkpoint regexp '"read":[1-9]'`
    const [rows] = await admin.query({ sql: query, rowsAsArray: true }, [table]).catch(() => [[[null]]])
    return String((rows as unknown[][])[0]?.[0])
  }
  const before = await changes()
  for (let tries = 0; tries < 2000 && (await changes()) === before; tries++) await setTimeout(5)
}
