import { type IngestionJob, JobRegistry, type JobStatus, memoryStorage, type Target } from 'headgate'
import { newExecutionId, RecordBatch, type TargetWriter } from 'headgate/adapter'
import { testDatasource } from 'headgate/testing'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

/** What these tests need of a system. */
export interface CheckpointTable {
  /** A target over the table `t`, whose full refresh truncates. */
  target(): Target
  run(...statements: string[]): Promise<void>
  rows(query: string): Promise<unknown[][]>
  /** Why a checkpoint in its table is JSON always. */
  readonly keepsJson?: string
  /** Why jobs have no partitions. */
  readonly hasNoPartitions?: string
}

/** Tests of what other programs do to a row in the table of checkpoints. */
export function checkpointRowTests({ target, run: execute, rows, keepsJson, hasNoPartitions }: CheckpointTable): void {
  let registry: JobRegistry
  let writers: TargetWriter[]

  const define = (to: JobRegistry, more: Partial<IngestionJob> = {}) => {
    const datasource = testDatasource([{ id: 1 }, { id: 2 }])
    for (const id of ['acme', 'bolt']) {
      to.remove('ingestion', id)
      to.define({ id, datasource, cursor: 'id', target: target(), ...more } as IngestionJob)
    }
  }
  /** A registry whose storage knows nothing. */
  const restarted = async () => {
    await registry?.close()
    return new JobRegistry({ storage: memoryStorage() })
  }

  beforeEach(async () => {
    writers = []
    registry = await restarted()
    await execute(
      ...['t', 'headgate_checkpoint'].map((name) => `drop table if exists ${name}`),
      'create table t (id int)',
    )
    define(registry)
  })
  afterEach(async () => {
    await registry.close()
    for (const writer of writers) await writer.abort?.({ reason: 'over', leaseLost: false })
  })

  const run = async (id: string, options = {}): Promise<JobStatus> =>
    (await registry.start('ingestion', id, options)).finished
  const load = async (id: string) => expect(await run(id)).toMatchObject({ state: 'successful' })
  const count = async () => Number((await rows('select count(*) from t'))[0]?.[0])
  const open = async (id: string, executionId = newExecutionId(id, Date.now())) => {
    const { signal } = new AbortController()
    const state = { position: undefined, isResumed: true, isResumable: true }
    const { writer } = await target().open({ type: 'ingestion', id, executionId, signal, ...state })
    const commit = async (record: number) => {
      const context = { type: 'ingestion', id, executionId, signal, idempotencyKey: `${id}:${record}` }
      await writer.write(RecordBatch.fromRecords([{ id: record }]), context)
      await writer.flush?.({ sequence: record })
    }
    return { writer, commit }
  }

  describe.skipIf(keepsJson)('a checkpoint that was cut short', () => {
    const cut = () => execute(`update headgate_checkpoint set checkpoint = substr(checkpoint, 1, 30) where id = 'acme'`)

    test('fails its job until it is reset', async () => {
      await load('acme')
      await cut()
      await expect(open('acme')).rejects.toMatchObject({ code: 'checkpoint' })
      const { error } = (await run('acme')) as { error?: string[] }
      expect(error?.join()).toContain('The checkpoint in the target was damaged. Expected it to be JSON: call `reset`')
      expect(error?.join()).not.toContain('Unexpected')
      expect(await count()).toBe(2)
      await registry.reset('ingestion', 'acme')
      await load('acme')
      expect(await count()).toBe(4)
    })

    test('fails a job that would remove its rows, or writes to the empty table', async () => {
      await load('acme')
      await load('bolt')
      await cut()
      const damaged = 'The checkpoint of job [ingestion/acme] in the target was damaged'
      const failed = { state: 'error', error: expect.arrayContaining([expect.stringContaining(damaged)]) }
      expect(await run('bolt', { fullRefresh: true })).toMatchObject(failed)
      expect(await count()).toBe(4)
      await execute('delete from t')
      await registry.reset('ingestion', 'bolt')
      expect(await run('bolt')).toMatchObject(failed)
      await registry.reset('ingestion', 'acme')
      await load('bolt')
      expect(await count()).toBe(2)
    })
  })

  describe('an execution that is later than any that could be', () => {
    const ahead = (id: string) => newExecutionId(id, Date.now() + 365 * 86_400_000)
    const store = (execution: string, id = 'acme') =>
      execute(`update headgate_checkpoint set execution = '${execution}' where id = '${id}'`)
    const errors = async (id: string) => ((await run(id)) as { error?: string[] }).error?.join()

    test.each(['', '+reset'])(
      'stops each run, which names the way out, until the job is reset (%j)',
      async (suffix) => {
        await load('acme')
        await load('bolt')
        await store(ahead('acme') + suffix)
        const error = await errors('acme')
        expect(error).toContain('A later execution of job [ingestion/acme] has taken over')
        expect(error).toContain('is from a clock that was ahead, or from another storage: call `reset`')
        await registry.reset('ingestion', 'acme')
        for (let n = 0; n < 2; n++) await load('acme')
        expect(await count()).toBe(6)
        await load('bolt')
      },
    )

    test('is fenced off when it writes on', async () => {
      await load('acme')
      const { writer, commit } = await open('acme', ahead('acme'))
      writers.push(writer)
      await commit(3)
      await registry.reset('ingestion', 'acme')
      await expect(commit(4)).rejects.toThrow()
      await load('acme')
      await expect(commit(5)).rejects.toThrow()
      expect(await count()).toBe(5)
    })

    test('is no obstacle for a job that storage does not know', async () => {
      await load('acme')
      await store(ahead('acme'))
      registry = await restarted()
      define(registry)
      await registry.reset('ingestion', 'acme')
      await load('acme')
    })

    test('stops no reset when it is damaged, which its run says', async () => {
      await load('acme')
      await store('zzz')
      await expect(open('acme')).rejects.toMatchObject({ code: 'checkpoint' })
      expect(await errors('acme')).toContain(
        'Expected `execution` to be the id of an execution of the job: call `reset`',
      )
      await registry.reset('ingestion', 'acme')
      await load('acme')
    })

    test('stops a reset when storage knows it', async () => {
      await load('acme')
      const { time, ...last } = { time: Date.now(), executionId: newExecutionId('acme', Date.now() - 86_400_000) }
      const known = newExecutionId('acme', Date.now())
      await store(known)
      const { signal } = new AbortController()
      const request = { type: 'ingestion', id: 'acme', checkpoint: null, signal, time, ...last }
      const reset = (latest?: string) =>
        target().resetCheckpoint?.({ ...request, ...(latest && { latest: async () => latest }) })
      await expect(reset()).rejects.toMatchObject({ code: 'lease_lost' })
      await expect(reset(known)).rejects.toMatchObject({ code: 'lease_lost' })
      await reset(last.executionId)
    })
  })

  test('a job is reset twice', async () => {
    await load('acme')
    for (let n = 0; n < 2; n++) await registry.reset('ingestion', 'acme')
    await load('acme')
    expect(await count()).toBe(4)
  })

  test.skipIf(hasNoPartitions)('partitions that are later than any that could be run again after a reset', async () => {
    define(registry, { partitions: 2 })
    await load('acme')
    const time = Date.now() + 365 * 86_400_000
    for (const [execution] of await rows(`select execution from headgate_checkpoint where id = 'acme'`))
      await execute(
        `update headgate_checkpoint set execution = '${newExecutionId('acme', time)}' where execution = '${execution}'`,
      )
    await registry.reset('ingestion', 'acme')
    await load('acme')
    expect(await count()).toBe(4)
  })
}
