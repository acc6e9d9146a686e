import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { JobRegistry } from 'headgate'
import { postgresStorage } from 'headgate/postgres'
import { heldJob } from 'headgate/testing'
import { expect, onTestFinished, test, vi } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { programOf } from '../../support/program.js'
import { begin, newSchema, storagesOn } from './storage-support.js'

describePostgres('processes that share a postgresStorage', (database) => {
  const storages = storagesOn(database)

  async function forkHere(file: string, ...args: string[]): Promise<ChildProcess> {
    const program = await programOf(new URL(file, import.meta.url))
    const child = fork(program, [database.url, ...args], { execArgv: [] })
    onTestFinished(() => void child.kill('SIGKILL'))
    return child
  }

  function openRegistry(schema: string): JobRegistry {
    // Neither heartbeat nor look comes to help.
    const storage = postgresStorage({ connectionString: database.url, schema, pollInterval: 1_000_000 })
    const registry = new JobRegistry({ storage, lease: 1_000_000 })
    onTestFinished(() => registry.close())
    return registry
  }

  test('lose nothing that was saved when one is killed', async () => {
    const schema = newSchema()
    const storage = storages.open({ schema })
    const child = await forkHere('../storage-saving.ts', schema)
    let saved = 0
    child.on('message', (count) => {
      saved = count as number
    })
    await vi.waitFor(() => expect(saved).toBeGreaterThan(100), { timeout: 15_000 })
    child.kill('SIGKILL')
    await once(child, 'exit')
    const left = await storage.find('test', 'a')
    expect(left?.state).toBe('running')
    expect(left?.count).toBeGreaterThanOrEqual(saved)
    await vi.waitFor(async () => expect((await storage.orphans()).hits).toHaveLength(1), { timeout: 5000 })
    const [orphan] = (await storage.orphans()).hits
    // The server may still have been at a last one.
    const count = orphan?.count as number
    expect(count).toBeGreaterThanOrEqual(left?.count as number)
    expect(orphan).toMatchObject({ state: 'error', node: 'killed', count, lastId: `${count}`, checkpoint: { count } })
    const next = await begin(storage, { resumedFrom: orphan?.executionId as string })
    expect(next).toMatchObject({ epoch: 2, checkpoint: { count } })
  })

  test('end when they have nothing to do but watch', async () => {
    const [code] = await once(await forkHere('../storage-watching.ts', newSchema()), 'exit')
    expect(code).toBe(0)
  })

  test('abort what runs in another one, at once', async () => {
    const schema = newSchema()
    const [here, there] = [openRegistry(schema), openRegistry(schema)]
    here.define(heldJob({ type: 'test', id: 'a' }).job)
    for (let round = 0; round < 3; round++) {
      const execution = await here.start('test', 'a')
      await expect(there.running('test')).resolves.toHaveLength(1)
      const began = performance.now()
      expect(await there.abort('test', 'a')).toMatchObject({ state: 'aborted' })
      expect(await execution.finished).toMatchObject({ state: 'aborted' })
      expect(performance.now() - began).toBeLessThan(2000)
    }
  })
})
