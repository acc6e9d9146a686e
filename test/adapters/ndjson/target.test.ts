import { execFile, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { chmod, mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join, relative } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { errorMessages, JobError } from 'headgate'
import { type OpenContext, RecordBatch, type TargetWriter, type WriteContext } from 'headgate/adapter'
import { type NdjsonFileOptions, ndjsonFile } from 'headgate/ndjson'
import { type TargetRecord, targetSuite } from 'headgate/testing'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { programOf } from '../../support/program.js'
import type { WrittenUpTo } from './write-ndjson.js'

const context = { type: 'ingestion', id: 'job', executionId: 'job-1', signal: new AbortController().signal }
const writeContext: WriteContext = { ...context, idempotencyKey: 'job-1:0' }

let folder: string
let path: string
let partial: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headgate-ndjson-'))
  path = join(folder, 'out.ndjson')
  partial = partialOf('job')
})

afterEach(() => rm(folder, { recursive: true, force: true }))

/** A record that no line can be made of. */
function refused(id: number) {
  const toJSON = () => {
    throw new RangeError(`${id} has no JSON`)
  }
  return { id, text: 'x', nested: { toJSON } }
}

describe('conformance', () => {
  targetSuite({
    test,
    create: ({ strategy }) => ({
      target: ndjsonFile({ path, strategy, ...(strategy === 'replace' && { maxShrink: 1 }) }),
      read: async () => parseLines(await contentOf(path)),
      refused,
      empty: () => truncate(path),
    }),
    unsupported: {
      writesIdempotently: 'it writes atomically',
      writesPartitions: 'a file has one end',
      check: 'the file is opened by the first run',
      checkFullRefresh: 'only one that replaces has a full refresh, and nothing stands in its way',
      writesDuringFlush: 'a file is flushed as a whole',
      acceptsEncoded: 'it writes JSON',
      createEmpty: 'a file without lines has no columns',
      checkpoint: 'storage keeps its checkpoints',
      truncate: 'what was appended stays',
      resetCheckpoint: 'storage keeps its checkpoints',
      isBroken: 'a file has no connection',
      recordIndex: 'the job finds the record',
    },
  })
})

describe('options', () => {
  test.each([
    [{}, '`path` to be a string that is not empty, got nothing'],
    [{ path: '' }, '`path` to be a string that is not empty'],
    [{ path: 'x', strategy: 'merge' }, '`strategy` to be one of `replace`, `append`, got `merge`'],
    [{ path: 'x', bigNumbers: true }, '`bigNumbers` to be one of `string`, `number`'],
    [{ path: 'x', maxShrink: -0.1 }, '`maxShrink` to be a number from 0 to 1, got `-0.1`'],
    [{ path: 'x', strategy: 'append', maxShrink: 1 }, '`maxShrink` to be absent without the strategy `replace`'],
    [{ path: 'x', gzip: true }, '`gzip`'],
  ])('%j is refused', (options, message) => {
    expect(() => ndjsonFile(options as NdjsonFileOptions)).toThrow(message)
  })

  test('replace is the default, and a relative path will do', async () => {
    const target = ndjsonFile({ path: relative(process.cwd(), path) })
    expect(target).toMatchObject({ kind: 'ndjson-file', strategy: 'replace' })
    await complete((await target.open(from())).writer, [1])
    expect(await contentOf(path)).toBe('{"id":1}\n')
  })
})

describe('replace', () => {
  const target = () => ndjsonFile({ path })

  test('readers see the old file until commit', async () => {
    await writeFile(path, 'old')
    const { writer } = await target().open(from())
    await write(writer, [1, 2])
    expect(await writer.flush?.(null)).toEqual({ bytes: 18 })
    expect(await contentOf(path)).toBe('old')
    await writer.commit?.()
    expect(await contentOf(path)).toBe('{"id":1}\n{"id":2}\n')
    expect(await readdir(folder)).toEqual(['out.ndjson'])
  })

  test.each([['n'.repeat(222)], ['n'.repeat(223)], ['n'.repeat(255)], ['ä'.repeat(127)], ['日'.repeat(85)]])(
    'a file with the longest name that there is: %s',
    async (name) => {
      const long = ndjsonFile({ path: join(folder, name) })
      const other = ndjsonFile({ path: join(folder, `${name.slice(0, -1)}m`) })
      const { writer } = await long.open(from())
      const { writer: besides } = await other.open(from())
      await write(writer, [1])
      await write(besides, [2])
      for (const each of [writer, besides]) {
        await each.flush?.(null)
        await each.commit?.()
      }
      expect(await contentOf(join(folder, name))).toBe('{"id":1}\n')
      expect(await readdir(folder)).toHaveLength(2)
    },
  )

  test('the new file is as private as the old one', async () => {
    await writeFile(path, 'old')
    await chmod(path, 0o600)
    await complete((await target().open(from())).writer, [1])
    expect((await stat(path)).mode & 0o777).toBe(0o600)
  })

  test('a run from the beginning overwrites what a crash has left', async () => {
    await writeFile(partial, 'left by a crash, and longer than what comes now')
    await complete((await target().open(from())).writer, [1])
    expect(await contentOf(path)).toBe('{"id":1}\n')
  })

  test('a run that goes on cuts the partial file back', async () => {
    await writeFile(partial, '{"id":1}\n{"id":2}\n{"id"')
    const { writer, resume } = await target().open(from({ bytes: 9 }))
    expect(resume).toBe('position')
    await complete(writer, [3])
    expect(await contentOf(path)).toBe('{"id":1}\n{"id":3}\n')
  })

  test.each([
    ['is gone, as after a crash behind the rename', undefined],
    ['is shorter than the checkpoint', '{"id"'],
  ])('the job must restart when the partial file %s', async (_, content) => {
    await writeFile(path, '{"id":1}\n')
    if (content) await writeFile(partial, content)
    const { writer, resume } = await target().open(from({ bytes: 9 }))
    expect(resume).toBe('restart')
    expect(await contentOf(path)).toBe('{"id":1}\n')
    await complete(writer, [1])
    expect(await contentOf(path)).toBe('{"id":1}\n')
  })

  test('the job must restart when the checkpoint is of another kind of target', async () => {
    await writeFile(partial, '{"id":1}\n')
    const { writer, resume } = await target().open(from({ bytes: 'many' }))
    expect(resume).toBe('restart')
    expect(await contentOf(partial)).toBe('')
    await writer.abort?.({ reason: 'over', leaseLost: false })
  })

  test('abort keeps the partial file for a run that goes on', async () => {
    const { writer } = await target().open(from())
    await write(writer, [1])
    await writer.abort?.({ reason: 'over', leaseLost: false })
    expect(await readdir(folder)).toEqual([basename(partial)])
  })

  test('abort deletes the partial file when no run may go on', async () => {
    await writeFile(path, 'old')
    const { writer } = await target().open(from(undefined, { isResumable: false }))
    await write(writer, [1])
    await writer.abort?.({ reason: 'over', leaseLost: false })
    expect(await readdir(folder)).toEqual(['out.ndjson'])
    expect(await contentOf(path)).toBe('old')
  })

  describe('refuses to leave too few records', () => {
    const ten = Array.from({ length: 10 }, (_, id) => id)
    const linesOf = (ids: number[]) => ids.map((id) => `{"id":${id}}\n`).join('')
    const replace = async (ids: number[], maxShrink?: number) => {
      const { writer } = await ndjsonFile({ path, ...(maxShrink !== undefined && { maxShrink }) }).open(from())
      try {
        await complete(writer, ids)
      } catch (error) {
        await writer.abort?.({ reason: error, leaseLost: false })
        throw error
      }
    }
    beforeEach(() => writeFile(path, linesOf(ten)))

    test.each([
      [4, undefined, '5 or more are expected'],
      [0, undefined, 'Refused to replace the 10 records of'],
      [0, 0.99, 'by none: with `maxShrink` 0.99, 1 or more are expected'],
      [9, 0, 'by 9: with `maxShrink` 0, 10 or more are expected. The old ones stay. Raise `maxShrink` to allow it'],
    ])('%i of 10 with a maxShrink of %s', async (count, maxShrink, message) => {
      await expect(replace(ten.slice(0, count), maxShrink)).rejects.toMatchObject({
        code: 'target',
        message: expect.stringContaining(message),
      })
      expect(await contentOf(path)).toBe(linesOf(ten))
      expect(await readdir(folder)).toEqual(['out.ndjson'])
    })

    test.each([
      [5, undefined],
      [1, 0.9],
      [0, 1],
      [10, 0],
    ])('but leaves %i of 10 with %s', async (count, maxShrink) => {
      await replace(ten.slice(0, count), maxShrink)
      expect(await contentOf(path)).toBe(linesOf(ten.slice(0, count)))
    })

    test('but writes an empty file where there was none, or an empty one', async () => {
      await rm(path)
      for (const _ of ['missing', 'empty']) {
        await replace([])
        expect(await readFile(path, 'utf8')).toBe('')
      }
    })

    test('the next run then begins anew, and records of before a checkpoint count', async () => {
      await expect(replace([0, 1])).rejects.toThrow('Refused')
      const { writer, resume } = await target().open(from({ bytes: 9 }))
      expect(resume).toBe('restart')
      await write(writer, ten.slice(0, 4))
      const position = await writer.flush?.(null)
      await writer.abort?.({ reason: 'over', leaseLost: false })
      await complete((await target().open(from(position))).writer, [4])
      expect(await contentOf(path)).toBe(linesOf(ten.slice(0, 5)))
    })

    test('a last line that is open counts', async () => {
      await writeFile(path, '{"id":1}\n{"id":2}\n{"id":3}')
      await expect(replace([1])).rejects.toThrow('the 3 records')
    })
  })

  test.runIf(process.platform === 'linux')('a partial file that is no file is refused', async () => {
    await promisify(execFile)('mkfifo', [partial])
    await expect(target().open(from())).rejects.toMatchObject({
      code: 'target',
      message: `Could not open \`${partial}\`: it is not a regular file.`,
    })
    expect(await openFiles()).toEqual([])
  })

  test('a run that lost its lease, and does not know, cannot complete the file of the one that went on', async () => {
    const { writer: lost } = await target().open(from())
    await write(lost, [1])
    const position = await lost.flush?.(null)
    const { writer: next } = await target().open(from(position))
    await write(lost, [9, 9, 9])
    await write(next, [2])
    await expect(lost.commit?.()).rejects.toThrow(`Another execution has taken over \`${partial}\`.`)
    await lost.abort?.({ reason: new JobError('lease_lost', 'lost'), leaseLost: true })
    await next.flush?.(null)
    await next.commit?.()
    expect(await contentOf(path)).toBe('{"id":1}\n{"id":2}\n')
    expect(await openFiles()).toEqual([])
  })

  test('two jobs replace one file beside one another: the last one stays', async () => {
    const [{ writer: one }, { writer: other }] = [
      await target().open(from()),
      await target().open(from(undefined, { id: 'other' })),
    ]
    await write(one, [1, 1])
    await write(other, [2, 2])
    await one.flush?.(null)
    expect(await contentOf(path)).toBe('')
    await one.commit?.()
    expect(await contentOf(path)).toBe('{"id":1}\n{"id":1}\n')
    await other.flush?.(null)
    await other.commit?.()
    expect(await contentOf(path)).toBe('{"id":2}\n{"id":2}\n')
    expect(await readdir(folder)).toEqual(['out.ndjson'])
  })

  test('a failed rename fails the commit, and the partial file can still be deleted', async () => {
    const { writer } = await target().open(from(undefined, { isResumable: false }))
    await mkdir(path)
    await expect(complete(writer, [1])).rejects.toMatchObject({
      code: 'target',
      message: `Could not complete \`${path}\`.`,
    })
    await writer.abort?.({ reason: 'over', leaseLost: false })
    expect(await readdir(folder)).toEqual(['out.ndjson'])
  })
})

describe('append', () => {
  const target = () => ndjsonFile({ path, strategy: 'append' })

  test('a run without a checkpoint adds to what is there', async () => {
    await complete((await target().open(from())).writer, [1])
    await complete((await target().open(from())).writer, [2])
    expect(await contentOf(path)).toBe('{"id":1}\n{"id":2}\n')
  })

  test('a last line that was left open is ended, not lost and not glued to the next', async () => {
    await writeFile(path, '{"id":1}\n{"id":')
    await complete((await target().open(from())).writer, [2])
    expect(await contentOf(path)).toBe('{"id":1}\n{"id":\n{"id":2}\n')
  })

  test('a run that goes on cuts the file back', async () => {
    await writeFile(path, '{"id":1}\n{"id":2}\n{"id"')
    await complete((await target().open(from({ bytes: 9 }))).writer, [3])
    expect(await contentOf(path)).toBe('{"id":1}\n{"id":3}\n')
  })

  test('what is cut off is told, as another writer may have added it', async () => {
    await writeFile(path, '{"id":1}\n{"id":2}\n{"id"')
    const told: string[] = []
    const warn = (message: string) => told.push(message)
    await complete((await target().open({ ...from({ bytes: 9 }), warn })).writer, [3])
    expect(told).toEqual([expect.stringContaining(`The last 14 bytes of \`${path}\` come after the checkpoint`)])
    await complete((await target().open({ ...from({ bytes: 18 }), warn })).writer, [4])
    expect(told).toHaveLength(1)
  })

  test('a run that goes on begins a new file when the old one was moved away', async () => {
    const { writer, resume } = await target().open(from({ bytes: 9 }))
    expect([resume, await writer.isReset?.()]).toEqual(['position', true])
    await write(writer, [3])
    expect(await writer.flush?.(null)).toEqual({ bytes: 9 })
    await writer.commit?.()
    expect(await contentOf(path)).toBe('{"id":3}\n')
  })

  test('a file shorter than the checkpoint is an error with both sizes', async () => {
    await writeFile(path, '{"id"')
    await expect(target().open(from({ bytes: 9 }))).rejects.toMatchObject({
      code: 'target',
      message: expect.stringContaining('it has 5 bytes, but the checkpoint is at 9'),
    })
    expect(await contentOf(path)).toBe('{"id"')
  })

  test('a file that was changed so that the checkpoint is inside a line stays as it is', async () => {
    await writeFile(path, '{"id":1234}\n')
    await expect(target().open(from({ bytes: 9 }))).rejects.toMatchObject({
      code: 'target',
      cause: { message: expect.stringContaining('the checkpoint at 9 bytes is not the end of a line') },
    })
    expect(await contentOf(path)).toBe('{"id":1234}\n')
  })

  test('abort cuts back to the last flush when a run may go on', async () => {
    const { writer } = await target().open(from())
    await write(writer, [1])
    await writer.flush?.(null)
    await write(writer, [2])
    await writer.abort?.({ reason: 'over', leaseLost: false })
    expect(await contentOf(path)).toBe('{"id":1}\n')
  })

  test('abort cuts back to where it began when no run may go on', async () => {
    await writeFile(path, '{"id":0}\n')
    const { writer } = await target().open(from(undefined, { isResumable: false }))
    await write(writer, [1])
    await writer.flush?.(null)
    await writer.abort?.({ reason: 'over', leaseLost: false })
    expect(await contentOf(path)).toBe('{"id":0}\n')
  })
})

describe.each(['replace', 'append'] as const)('%s', (strategy) => {
  const target = () => ndjsonFile({ path, strategy })

  test('a missing folder is named, and not made', async () => {
    path = join(folder, 'missing', 'out.ndjson')
    await expect(target().open(from())).rejects.toMatchObject({
      code: 'target',
      message: expect.stringContaining(`there is no directory \`${join(folder, 'missing')}\``),
    })
    expect(await readdir(folder)).toEqual([])
  })

  test('what is no file is refused when the job begins', async () => {
    await mkdir(path)
    await expect(target().open(from())).rejects.toMatchObject({
      code: 'target',
      message: expect.stringContaining('regular'),
    })
  })

  test('a folder in the way of the path is an error with the cause', async () => {
    await writeFile(join(folder, 'file'), '')
    path = join(folder, 'file', 'out.ndjson')
    const opening = (async () => target().open(from()))()
    const error = await opening.then(undefined, (error: unknown) => error)
    expect(errorMessages(error)).toEqual([`Could not open \`${path}\`.`, expect.stringContaining('ENOTDIR')])
  })

  test('a record that JSON cannot hold fails with its reason', async () => {
    const circular: Record<string, unknown> = {}
    circular.self = circular
    const { writer } = await target().open(from())
    const writing = (async () => writer.write(RecordBatch.fromRecords([circular]), writeContext))()
    await expect(writing).rejects.toMatchObject({
      code: 'target',
      cause: { message: expect.stringContaining('circular reference in `self`') },
    })
    await writer.abort?.({ reason: 'over', leaseLost: false })
  })

  test('two executions have a writer each', async () => {
    const one = target()
    const writers = [(await one.open(from())).writer, (await one.open(from())).writer]
    expect(writers[0]).not.toBe(writers[1])
    for (const writer of writers) await writer.abort?.({ reason: 'over', leaseLost: false })
  })

  test('records larger than a piece of text arrive', async () => {
    const text = (id: number) => `${'x'.repeat(id)}${'ü'.repeat(700_000)}${'👍'.repeat(400_000)}`
    const records = Array.from({ length: 5 }, (_, id) => ({ id, text: text(id) }))
    const { writer } = await target().open(from())
    await writer.write(RecordBatch.fromRecords(records), writeContext)
    await writer.commit?.()
    expect(parseLines(await contentOf(path))).toEqual(records)
  })

  test.runIf(process.platform === 'linux')('every file is closed in the end', async () => {
    await complete((await target().open(from())).writer, [1])
    const { writer: aborted } = await target().open(from())
    expect(await openFiles()).toHaveLength(1)
    await aborted.abort?.({ reason: 'over', leaseLost: false })
    expect(await openFiles()).toEqual([])
  })

  test('a full disk is an error with its cause, and the flushed part is kept', async () => {
    // The limit of a file's size stands for the disk: 512 kB.
    const { said } = await runWriter(strategy, undefined, { limit: 1024 })
    const written = strategy === 'append' ? path : partialOf('crash')
    expect(said.at(-1)).toEqual({ errors: [`Could not write to \`${written}\`.`, expect.stringContaining('EFBIG')] })

    const checkpoint = said.at(-2) as WrittenUpTo
    const { bytes } = checkpoint.position as { bytes: number }
    expect((await stat(written)).size).toBeGreaterThanOrEqual(bytes)
    expect((await runWriter(strategy, checkpoint)).said.at(-1)).toEqual({ done: true })
    expect(await contentOf(path)).toBe(await uninterrupted(strategy))
  }, 60_000)

  test('a run that is killed again and again gives the bytes of one that was not', async () => {
    let checkpoint: WrittenUpTo | undefined
    for (let kill = 0; kill < 8; kill++) {
      const { said } = await runWriter(strategy, checkpoint, { killAfter: 1 + Math.floor(Math.random() * 5) })
      checkpoint = said.at(-1) as WrittenUpTo
    }
    expect(checkpoint?.batches).toBeGreaterThan(0)
    expect((await runWriter(strategy, checkpoint)).said.at(-1)).toEqual({ done: true })
    expect(await contentOf(path)).toBe(await uninterrupted(strategy))
  }, 60_000)
})

/** Where a job writes until its file is complete. */
function partialOf(id: string): string {
  const mark = createHash('sha256').update(`["ingestion","${id}"]`).digest('hex').slice(0, 8)
  return join(folder, `.out.ndjson.headgate-${mark}-partial`)
}

/** How a job opens the target: at a position, or from the beginning. */
function from(position?: unknown, more?: Partial<OpenContext>): OpenContext {
  return { ...context, position, isResumed: position !== undefined, isResumable: true, ...more }
}

async function write(writer: TargetWriter, ids: number[]): Promise<void> {
  await writer.write(RecordBatch.fromRecords(ids.map((id) => ({ id }))), writeContext)
}

async function complete(writer: TargetWriter, ids: number[]): Promise<void> {
  await write(writer, ids)
  await writer.flush?.(null)
  await writer.commit?.()
}

/** Runs the writer's process to its end, or kills it at some moment after so many reports. */
async function runWriter(
  strategy: string,
  checkpoint: WrittenUpTo | undefined,
  { killAfter, limit, to = path }: { killAfter?: number; limit?: number; to?: string } = {},
): Promise<{ said: unknown[] }> {
  const program = await programOf(new URL('write-ndjson.ts', import.meta.url))
  const limiting = limit === undefined ? '' : `ulimit -f ${limit}; `
  const options = JSON.stringify({ path: to, strategy })
  const args = ['-c', `${limiting}exec "$@"`, 'sh', process.execPath, program, options]
  const child = spawn('sh', checkpoint ? [...args, JSON.stringify(checkpoint)] : args, {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const closed = once(child, 'close')
  const said: unknown[] = []
  for await (const line of createInterface({ input: child.stdout })) {
    said.push(JSON.parse(line))
    if (said.length === killAfter) setTimeout(() => child.kill('SIGKILL'), Math.random() * 4)
  }
  await closed
  return { said }
}

async function uninterrupted(strategy: string): Promise<string> {
  const to = join(folder, 'uninterrupted.ndjson')
  await runWriter(strategy, undefined, { to })
  return contentOf(to)
}

/** The files in the folder that this process has open. */
async function openFiles(): Promise<string[]> {
  const names = await readdir('/proc/self/fd')
  const files = await Promise.all(names.map((name) => readlink(`/proc/self/fd/${name}`).catch(() => '')))
  return files.filter((file) => file.startsWith(folder))
}

/** What a file holds; nothing when there is none. */
async function contentOf(file: string): Promise<string> {
  return (await readdir(folder)).includes(basename(file)) ? readFile(file, 'utf8') : ''
}

function parseLines(text: string): TargetRecord[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line))
}
