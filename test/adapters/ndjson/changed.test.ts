import {
  appendFile,
  copyFile,
  mkdtemp,
  open,
  readdir,
  readFile,
  rename,
  rm,
  truncate,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isTransient, JobRegistry, memoryStorage } from 'headgate'
import { type OpenContext, RecordBatch, type TargetWriter } from 'headgate/adapter'
import { iterableDatasource } from 'headgate/iterable'
import { ndjsonFile } from 'headgate/ndjson'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'

const context = { type: 'ingestion', id: 'job', executionId: 'job-1', signal: new AbortController().signal }

let folder: string
let path: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headgate-ndjson-'))
  path = join(folder, 'out.ndjson')
})

afterEach(async () => {
  vi.restoreAllMocks()
  await rm(folder, { recursive: true, force: true })
})

type Strategy = 'append' | 'replace'

/** What another program does to the file, or to the partial file, of a job. */
const changes: Record<string, (file: string) => Promise<void>> = {
  'cut to nothing': (file) => truncate(file, 0),
  'cut short': (file) => truncate(file, 20),
  deleted: (file) => rm(file),
  moved: (file) => rename(file, join(folder, 'moved')),
  'replaced by an empty file': async (file) => {
    await writeFile(join(folder, 'new'), '')
    await rename(join(folder, 'new'), file)
  },
  'replaced by a copy': async (file) => {
    await copyFile(file, join(folder, 'new'))
    await rename(join(folder, 'new'), file)
  },
  'written by another program': (file) => appendFile(file, '{"id":-1}\n'),
}

/** The file that a job writes to. */
async function written(): Promise<string> {
  const names = await readdir(folder)
  return join(folder, names.find((name) => name.endsWith('-partial')) ?? 'out.ndjson')
}

async function writerOf(strategy: Strategy, overrides: Partial<OpenContext> = {}): Promise<TargetWriter> {
  const target = ndjsonFile({ path, strategy })
  return (await target.open({ ...context, position: undefined, isResumed: false, isResumable: true, ...overrides }))
    .writer
}

async function write(writer: TargetWriter, ...ids: number[]): Promise<void> {
  await writer.write(RecordBatch.fromRecords(ids.map((id) => ({ id }))), { ...context, idempotencyKey: 'a' })
}

async function failureOf(work: unknown): Promise<unknown> {
  return (await Promise.allSettled([work]))[0]
}

const transient = { status: 'rejected', reason: expect.toSatisfy(isTransient) }

describe.each(['append', 'replace'] as const)('%s', (strategy) => {
  describe.each(Object.entries(changes))('the file is %s', (_, change) => {
    test('before a flush with more records', async () => {
      const writer = await writerOf(strategy)
      await write(writer, 1, 2, 3)
      await writer.flush?.(null)
      await change(await written())
      await write(writer, 4)
      expect(await failureOf(writer.flush?.(null))).toMatchObject({ status: 'rejected' })
      expect(writer.isBroken).toBe(true)
      await writer.abort?.({ reason: 'over', leaseLost: false })
      expect(await contents()).not.toContain('\0')
    })

    test('before a flush with none', async () => {
      const writer = await writerOf(strategy)
      await write(writer, 1, 2, 3)
      await writer.flush?.(null)
      await change(await written())
      expect(await failureOf(writer.flush?.(null))).toMatchObject({ status: 'rejected' })
      expect(writer.isBroken).toBe(true)
      await writer.abort?.({ reason: 'over', leaseLost: false })
    })

    test('before the commit', async () => {
      const writer = await writerOf(strategy)
      await write(writer, 1, 2, 3)
      await writer.flush?.(null)
      await change(await written())
      expect(await failureOf(writer.commit?.())).toMatchObject({ status: 'rejected' })
      await writer.abort?.({ reason: 'over', leaseLost: false })
      if (strategy === 'replace') expect(await readdir(folder)).not.toContain('out.ndjson')
    })
  })

  test('the file is cut right before a write', async () => {
    const writer = await writerOf(strategy)
    await write(writer, 1, 2, 3)
    await writer.flush?.(null)
    await write(writer, 4)
    const probe = await open(join(folder, 'probe'), 'w')
    const handles = Object.getPrototypeOf(probe) as typeof probe
    await probe.close()
    const original = handles.write
    vi.spyOn(handles, 'write').mockImplementationOnce(async function (this: typeof probe, ...args: unknown[]) {
      await this.truncate(0)
      return (original as (...args: unknown[]) => never).apply(this, args)
    } as never)
    expect(await failureOf(writer.flush?.(null))).toMatchObject(transient)
    await writer.abort?.({ reason: 'over', leaseLost: false })
    // A partial file of unknown content is deleted. The next run starts from the beginning.
    expect(await readdir(folder)).toEqual(strategy === 'replace' ? ['probe'] : ['out.ndjson', 'probe'])
  })
})

/** All files in the folder. */
async function contents(): Promise<string> {
  const names = await readdir(folder)
  return (await Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')))).join('')
}

describe('a job that appends', () => {
  /** Runs a job of 1000 records, and changes the file at one of them, in its first run. */
  async function runs(change: (file: string) => Promise<void>, options: object = {}) {
    const registry = new JobRegistry({ storage: memoryStorage(), progressInterval: 0 })
    let hasChanged = false
    registry.define({
      id: 'copy',
      datasource: iterableDatasource(() => Array.from({ length: 1000 }, (_, id) => ({ id }))),
      cursor: 'id',
      batchSize: 50,
      target: ndjsonFile({ path, strategy: 'append' }),
      transform: async (record: { id: number }) => {
        if (record.id === 500 && !hasChanged) {
          hasChanged = true
          await change(path)
        }
        return record
      },
      ...options,
    })
    const run = async () => (await registry.start('ingestion', 'copy')).finished
    const answers = [await run(), await run()]
    await registry.close()
    return answers.map((status) => [status.state, status.state === 'error' ? status.error.at(-1) : undefined])
  }

  const idsOf = (text: string) =>
    text
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line).id)

  const allIds = Array.from({ length: 1000 }, (_, id) => id)

  test.each([
    ['moved', 'was deleted, moved or replaced', 'continue'],
    ['cut to nothing', 'was cut', 'restart'],
    ['deleted', 'was deleted, moved or replaced', 'restart'],
    ['replaced by an empty file', 'was deleted, moved or replaced', 'restart'],
    ['replaced by a copy', 'was deleted, moved or replaced', 'fail'],
    ['written by another program', 'Another program has written', 'fail'],
  ] as const)('fails when its file is %s: %s. The next run goes on by `%s`', async (name, message, ifTargetReset) => {
    const [first, second] = await runs(changes[name] as (file: string) => Promise<void>, { ifTargetReset })
    expect(first).toEqual(['error', expect.stringContaining(message)])
    expect(second).toEqual(['successful', undefined])
    const moved = name === 'moved' ? await readFile(join(folder, 'moved'), 'utf8') : ''
    expect(idsOf(moved + (await readFile(path, 'utf8')))).toEqual(allIds)
  })

  test.each([
    ['cut to nothing', 'ifTargetReset'],
    ['cut short', 'has 20 bytes, but the checkpoint is at'],
    ['deleted', 'ifTargetReset'],
    ['moved', 'ifTargetReset'],
  ])('fails when its file is %s, and the next run asks what to do: %s', async (name, message) => {
    const answers = await runs(changes[name] as (file: string) => Promise<void>)
    expect(answers).toEqual([
      ['error', expect.any(String)],
      ['error', expect.stringContaining(message)],
    ])
  })
})
