import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { type ExecutionRecord, executionOrder } from 'headgate/adapter'
import { sqliteStorage } from 'headgate/sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Acknowledged, Task } from './storage-process.js'
import { firstValue, openDatabase, start } from './storage-support.js'

let folder: string
let path: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headgate-sqlite-'))
  path = join(folder, 'jobs.db')
})

afterEach(() => rm(folder, { recursive: true }))

const ten = Array.from({ length: 10 }, (_, n) => n)

describe('ten processes', () => {
  test('open a new file at once', async () => {
    const children = await Promise.all(ten.map((n) => start(path, { do: 'run', id: `job-${n}` } satisfies Task)))
    expect(await Promise.all(children.map(({ closed }) => closed))).toEqual(ten.map(() => 0))
    expect(children.flatMap(({ said }) => said)).toEqual(ten.map(() => ({ started: true })))
    expect((await logOf()).map(({ id }) => id).sort()).toEqual(ten.map((n) => `job-${n}`))
  }, 60_000)

  test('start one job again and again: never two at once, and none is lost', async () => {
    const children = await Promise.all(ten.map(() => start(path, { do: 'compete', time: 2000 } satisfies Task)))
    while (children.some(({ said }) => said.length === 0)) await setTimeout(10)
    for (const { process } of children) process.stdin.write('go')
    expect(await Promise.all(children.map(({ closed }) => closed))).toEqual(ten.map(() => 0))
    expect(children.map(({ said }) => said.length)).toEqual(ten.map(() => 2))
    const started = children.map(({ said }) => (said[1] as { started: number }).started)
    expect(started.filter((count) => count > 0).length).toBeGreaterThan(1)

    const log = (await logOf()).sort((a, b) => a.epoch - b.epoch)
    expect(log.map(({ epoch }) => epoch)).toEqual(log.map((_, index) => index + 1))
    expect(log.length).toBe(started.reduce((sum, count) => sum + count, 0))
    const overlaps = log.filter(({ startTime }, index) => startTime < (log[index - 1]?.endTime ?? 0))
    expect(overlaps).toEqual([])
    const orders = log.map(({ executionId }) => executionOrder(executionId))
    expect(orders).toEqual([...orders].sort())
  }, 60_000)
})

describe('a process that is killed', () => {
  test('loses nothing that was acknowledged, however often', async () => {
    const finished = new Map<string, number>()
    for (let kill = 0; kill < 12; kill++) {
      const id = `job-${kill}`
      const said = await runAndKill(id, 1 + Math.floor(Math.random() * 60))
      const last = said.at(-1) as Acknowledged
      finished.set(id, said.filter(({ step }) => step === 'finish').length)
      expect(isAtLeast(await found(id), last), JSON.stringify(last)).toBe(true)
    }
    const log = await logOf()
    for (const [id, count] of finished) {
      expect(log.filter((execution) => execution.id === id).length).toBeGreaterThanOrEqual(count)
    }
    expect(integrity()).toBe('ok')
  }, 120_000)
})

test.runIf(process.platform === 'linux')(
  'a full disk is an error with its cause, and nothing is half written',
  async () => {
    const { said, closed } = await start(path, { do: 'write', id: 'a' } satisfies Task, { limit: 1024 })
    expect(await closed).toBe(0)
    const {
      errors,
      acknowledged,
      found: seen,
    } = said.at(-1) as {
      errors: string[]
      acknowledged: Acknowledged
      found: ExecutionRecord
    }
    expect(errors).toEqual([`The SQLite storage \`${path}\` failed.`, expect.stringMatching(/full|disk I\/O/)])
    expect(said.length).toBeGreaterThan(10)
    for (const execution of [seen, await found('a')]) expect(isExactly(execution, acknowledged)).toBe(true)
    expect(integrity()).toBe('ok')
  },
)

test.each([true, false])('a process that watches ends by itself, closed: %s', async (isClosed) => {
  const { closed } = await start(path, { do: 'watch', isClosed } satisfies Task)
  expect(await closed).toBe(0)
})

/** Runs a writer and kills it at some moment after so many reports. */
async function runAndKill(id: string, reports: number): Promise<Acknowledged[]> {
  const { said, process, closed } = await start(path, { do: 'write', id } satisfies Task)
  while (said.length < reports) await setTimeout(1)
  await setTimeout(Math.random() * 4)
  process.kill('SIGKILL')
  await closed
  return said as Acknowledged[]
}

async function found(id: string): Promise<ExecutionRecord> {
  const storage = sqliteStorage({ path })
  const execution = await storage.find('test', id)
  await storage.close?.()
  return execution as ExecutionRecord
}

/** The step that was under way may be there too. */
function isAtLeast(execution: ExecutionRecord, last: Acknowledged): boolean {
  if (execution.epoch !== last.epoch) return execution.epoch === last.epoch + 1 && last.step === 'finish'
  const { count } = (execution.checkpoint ?? { count: 0 }) as { count: number }
  return execution.count >= last.count && (execution.count === 0 || execution.count === count)
}

function isExactly(execution: ExecutionRecord, { step, epoch, count }: Acknowledged): boolean {
  return (
    execution.epoch === epoch && execution.count === count && (execution.state === 'successful') === (step === 'finish')
  )
}

async function logOf(): Promise<ExecutionRecord[]> {
  const storage = sqliteStorage({ path })
  const log: ExecutionRecord[] = []
  for (let from = 0; from === log.length; from += 1000) {
    log.push(...(await storage.search({ size: 1000, from })).hits)
  }
  await storage.close?.()
  return log
}

function integrity(): unknown {
  const database = openDatabase(path)
  const found = firstValue(database, 'pragma integrity_check')
  database.close()
  return found
}
