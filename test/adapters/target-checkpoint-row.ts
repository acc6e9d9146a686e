import { JobRegistry, type JobStatus, memoryStorage, type Target } from 'headgate'
import { newExecutionId } from 'headgate/adapter'
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
}

/** Tests of what other programs do to a row in the table of checkpoints. */
export function checkpointRowTests({ target, run: execute, rows, keepsJson }: CheckpointTable): void {
  let registry: JobRegistry

  beforeEach(async () => {
    registry = new JobRegistry({ storage: memoryStorage() })
    await execute(
      ...['t', 'headgate_checkpoint'].map((name) => `drop table if exists ${name}`),
      'create table t (id int)',
    )
    for (const id of ['acme', 'bolt'])
      registry.define({ id, datasource: testDatasource([{ id: 1 }, { id: 2 }]), cursor: 'id', target: target() })
  })
  afterEach(() => registry.close())

  const run = async (id: string, options = {}): Promise<JobStatus> =>
    (await registry.start('ingestion', id, options)).finished
  const load = async (id: string) => expect(await run(id)).toMatchObject({ state: 'successful' })
  const count = async () => Number((await rows('select count(*) from t'))[0]?.[0])
  const open = (id: string) => {
    const { signal } = new AbortController()
    const executionId = newExecutionId(id, Date.now())
    const state = { position: undefined, isResumed: true, isResumable: true }
    return Promise.resolve(target().open({ type: 'ingestion', id, executionId, signal, ...state }))
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
}
