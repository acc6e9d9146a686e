import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import {
  type DeadLetter,
  type IngestionDetail,
  type JobRecord,
  JobRegistry,
  memoryStorage,
  type Target,
} from 'headgate'
import type { TargetAbort, TargetWriter } from 'headgate/adapter'
import { iterableDatasource } from 'headgate/iterable'
import { ndjsonFile } from 'headgate/ndjson'
import { postgresTarget } from 'headgate/postgres'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'

/** A run: which of the records are bad, how they are read, and when something breaks. */
interface Plan {
  readonly length: number
  readonly poison: readonly number[]
  readonly batchSize: number
  readonly progressInterval: number
  /** Calls, over all runs, that fail: before they do their work, or after it. */
  readonly crashes: readonly { readonly call: number; readonly isAfter: boolean }[]
}

const planOf = (crashes: fc.Arbitrary<Plan['crashes']>): fc.Arbitrary<Plan> =>
  fc.nat(60).chain((length) =>
    fc.record({
      length: fc.constant(length),
      poison: fc.uniqueArray(fc.integer({ min: 1, max: Math.max(1, length) }), { maxLength: length }),
      batchSize: fc.integer({ min: 1, max: 25 }),
      progressInterval: fc.constantFrom(0, 60_000),
      crashes,
    }),
  )

const noCrashes = planOf(fc.constant([]))
const someCrashes = planOf(
  fc.array(fc.record({ call: fc.integer({ min: 1, max: 40 }), isAfter: fc.boolean() }), { maxLength: 6 }),
)

/** Where records or dead letters go, and how they are read again. */
interface Place {
  readonly target: Target
  read(): Promise<JobRecord[]>
}

/** Bad records cannot be written anywhere. */
class Bad {
  toJSON(): never {
    throw new RangeError('bad')
  }
}

function recordsOf({ length, poison }: Plan): JobRecord[] {
  return Array.from({ length }, (_, index) => {
    const id = index + 1
    return poison.includes(id) ? { id, value: new Bad() } : { id, value: { id } }
  })
}

/** The same target, of which some calls fail, as if its process had been cut off there. */
function crashing(target: Target, next: () => { readonly isAfter: boolean } | undefined): Target {
  const at = async <Answer>(call: () => Promise<Answer>): Promise<Answer> => {
    const crash = next()
    if (crash?.isAfter === false) throw new RangeError('crash before')
    const answer = await call()
    if (crash) throw new RangeError('crash after')
    return answer
  }
  return {
    ...target,
    async open(context) {
      const { writer, ...opened } = await target.open(context)
      const crashed = Object.create(writer) as TargetWriter
      Object.defineProperties(crashed, {
        isReset: { value: writer.isReset && (async () => writer.isReset?.()) },
        isBroken: { get: () => writer.isBroken },
        write: { value: writer.write.bind(writer) },
        flush: { value: writer.flush && ((checkpoint: unknown) => at(async () => writer.flush?.(checkpoint))) },
        commit: { value: () => at(async () => writer.commit?.()) },
        abort: { value: async (abort: TargetAbort) => writer.abort?.(abort) },
      })
      return { ...opened, writer: crashed }
    },
  }
}

/** Runs the job until it is successful. Gives how often that was tried. */
async function runThrough(plan: Plan, main: Place, dead: Place): Promise<number> {
  let calls = 0
  const next = () => {
    calls++
    return plan.crashes.find(({ call }) => call === calls)
  }
  const records = recordsOf(plan)
  const storage = memoryStorage()
  await using registry = new JobRegistry({ storage, progressInterval: plan.progressInterval })
  registry.on('status', ({ status }) => {
    if (!('detail' in status)) return
    const { read, written, failed, skipped } = status.detail as IngestionDetail
    expect([status.count, written + failed + skipped]).toEqual([read, read])
  })
  const source = ({ lastId = '0' }) => records.filter(({ id }) => Number(id) > Number(lastId))
  registry.define({
    id: 'job',
    datasource: iterableDatasource(source, { resumes: true }),
    pkField: 'id',
    batchSize: plan.batchSize,
    target: crashing(main.target, next),
    failures: { deadLetters: crashing(dead.target, next), total: Infinity, consecutive: Infinity },
  })
  for (let runs = 1; ; runs++) {
    const { finished } = await registry.start('ingestion', 'job')
    const { state } = await finished
    if (state === 'successful') return runs
    expect([state, runs <= plan.crashes.length]).toEqual(['error', true])
  }
}

async function check(plan: Plan, main: Place, dead: Place): Promise<void> {
  await runThrough(plan, main, dead)
  const bad = new Set(plan.poison)
  const all = Array.from({ length: plan.length }, (_, index) => index + 1)
  const ids = (await main.read()).map(({ id }) => Number(id))
  expect(ids).toEqual(all.filter((id) => !bad.has(id)))
  const letters = (await dead.read()) as DeadLetter[]
  expect(letters.map(({ record }) => Number(record.id))).toEqual(all.filter((id) => bad.has(id)))
  expect(new Set(letters.map(({ key }) => key)).size).toBe(letters.length)
}

describePostgres(
  'whatever fails, the target has all but the bad records, and dead letters tell of each once:',
  (database) => {
    let pool: pg.Pool
    let folder: string
    let runs = 0
    beforeAll(async () => {
      pool = new pg.Pool({ connectionString: database.url })
      folder = await mkdtemp(join(tmpdir(), 'headgate-failures-'))
    })
    afterAll(async () => {
      await pool.end()
      await rm(folder, { recursive: true })
    })

    const columns =
      'type text, id text, "executionId" text, key text, time timestamptz, phase text, error json, record json'

    async function table(of: string, options: object): Promise<Place> {
      const name = `t${++runs}`
      await pool.query(`create table ${name} (place int generated always as identity, ${of})`)
      return {
        target: postgresTarget({ pool, table: name, ...options }),
        read: async () => (await pool.query(`select * from ${name} order by place`)).rows,
      }
    }

    function file(): Place {
      const path = join(folder, `${++runs}.ndjson`)
      return {
        target: ndjsonFile({ path, strategy: 'append' }),
        read: async () => {
          const lines = (await readFile(path, 'utf8')).split('\n')
          return lines.filter((line) => line !== '').map((line) => JSON.parse(line))
        },
      }
    }

    function memory(): Place {
      const records: JobRecord[] = []
      const write: TargetWriter['write'] = (batch) => {
        JSON.stringify(batch.records())
        records.push(...batch.records())
      }
      return {
        target: { kind: 'memory', capabilities: { writesAtomically: true }, open: () => ({ writer: { write } }) },
        read: async () => records,
      }
    }

    const insert = () => table('id int, value json', {})
    const upsert = () => table('id int unique, value json', { mode: 'upsert', key: 'id' })
    const graves = () => table(columns, {})

    test.each([
      ['a function, dead letters in another', memory, memory, noCrashes, 60],
      ['a file, dead letters in another', file, file, someCrashes, 25],
      ['a file, dead letters in a table', file, graves, someCrashes, 15],
      ['a table, dead letters in another', insert, graves, someCrashes, 25],
      ['a table that is merged into, dead letters in a file', upsert, file, someCrashes, 15],
    ] as const)(
      '%s',
      async (_, main, dead, plans, numRuns) => {
        const property = fc.asyncProperty(plans, async (plan) => check(plan, await main(), await dead()))
        await fc.assert(property, { numRuns })
      },
      120_000,
    )
  },
)
