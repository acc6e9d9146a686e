import { JobError } from 'headgate'
import { type OpenContext, RecordBatch, type WriteContext } from 'headgate/adapter'
import { type CollectingTarget, collectingTarget, fakeClock } from 'headgate/testing'
import { describe, expect, test } from 'vitest'

interface Numbered {
  id: number
}

const batchOf = (...ids: number[]) => RecordBatch.fromRecords(ids.map((id) => ({ id })))
const idsOf = (target: CollectingTarget<Numbered>) => target.records.map(({ id }) => id)

function contexts(signal = new AbortController().signal) {
  const base = { type: 'ingestion', id: 'a', executionId: 'a1', signal }
  const open: OpenContext = { ...base, position: undefined, isResumed: false, isResumable: true }
  const write: WriteContext = { ...base, idempotencyKey: 'a1:0' }
  return { open, write }
}

describe('collectingTarget', () => {
  const { open, write } = contexts()

  test('collects records, batches and calls', async () => {
    const target = collectingTarget<Numbered>()
    const { writer } = await target.open(open)
    const batch = batchOf(1, 2)
    await writer.write(batch, write)
    expect(await writer.flush?.(null)).toBe(2)
    await writer.commit?.()
    await writer.abort?.({ reason: 'why', leaseLost: false })
    expect(idsOf(target)).toEqual([1, 2])
    expect(target.batches).toEqual([batch])
    expect(target.calls).toEqual([
      { name: 'open', context: open },
      { name: 'write', batch, context: write },
      { name: 'flush', position: 2 },
      { name: 'commit' },
      { name: 'abort', reason: 'why', leaseLost: false },
    ])
  })

  test('shows the records of a replacing target at its commit', async () => {
    const target = collectingTarget<Numbered>({ strategy: 'replace' })
    for (const id of [1, 2]) {
      const { writer } = await target.open(open)
      await writer.write(batchOf(id), write)
      expect(idsOf(target)).toEqual(id === 1 ? [] : [1])
      await writer.commit?.()
      expect(idsOf(target)).toEqual([id])
    }
  })

  test('truncates to the position from which it resumes', async () => {
    const target = collectingTarget<Numbered>()
    const { writer: first } = await target.open(open)
    await first.write(batchOf(1), write)
    const position = await first.flush?.(null)
    await first.write(batchOf(2), write)
    await target.open({ ...open, position, isResumed: true })
    expect(idsOf(target)).toEqual([1])
  })

  test('asks to restart when what it is to go on from is gone', async () => {
    const { resume } = await collectingTarget().open({ ...open, position: 7, isResumed: true })
    expect(resume).toBe('restart')
  })

  test('fails at a batch of every execution', async () => {
    const target = collectingTarget<Numbered>({ failAt: 2 })
    for (const _ of [1, 2]) {
      const { writer } = await target.open(open)
      await writer.write(batchOf(1), write)
      const failing = async () => writer.write(batchOf(2), write)
      await expect(failing()).rejects.toSatisfy((error) => JobError.isInstance(error) && error.code === 'target')
    }
    expect(idsOf(target)).toEqual([1, 1])
  })

  test('fails once with the given error', async () => {
    const target = collectingTarget<Numbered>({ failAt: 1, once: true, error: new RangeError('ordered') })
    const { writer } = await target.open(open)
    const writing = async () => writer.write(batchOf(1), write)
    await expect(writing()).rejects.toThrow('ordered')
    await (await target.open(open)).writer.write(batchOf(1), write)
    expect(idsOf(target)).toEqual([1])
  })

  test('fails to flush and to commit', async () => {
    const target = collectingTarget({ failFlush: true, failCommit: true })
    const { writer } = await target.open(open)
    await expect(writer.flush?.(null)).rejects.toThrow('failed on demand')
    await expect(writer.commit?.()).rejects.toThrow('failed on demand')
  })

  test('hangs with a batch until it is aborted', async () => {
    const stop = new AbortController()
    const target = collectingTarget<Numbered>({ hangAt: 1 })
    const { writer } = await target.open(open)
    const hanging = writer.write(batchOf(1), contexts(stop.signal).write)
    stop.abort(new RangeError('enough'))
    await expect(hanging).rejects.toThrow('enough')
    expect(idsOf(target)).toEqual([])
  })

  test('takes its time by the clock', async () => {
    const clock = fakeClock()
    const target = collectingTarget<Numbered>({ delay: 100, clock })
    const { writer } = await target.open(open)
    const slow = writer.write(batchOf(1), write)
    await clock.advance(99)
    expect(idsOf(target)).toEqual([])
    await clock.advance(1)
    await slow
    expect(idsOf(target)).toEqual([1])
  })
})
