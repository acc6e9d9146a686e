import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { JobRegistry } from 'headgate'
import { postgresStorage } from 'headgate/storage/postgres'
import { expect, onTestFinished, test, vi } from 'vitest'
import { describePostgres } from '../support/describe-postgres.js'
import { programOf } from '../support/program.js'
import { begin, newSchema, storagesOn } from './_postgres.js'

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
    const child = await forkHere('_saving.ts', schema)
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
    await vi.waitFor(async () => expect(await storage.orphans()).toHaveLength(1), { timeout: 5000 })
    const [orphan] = await storage.orphans()
    // The server may still have been at a last one.
    const count = orphan?.count as number
    expect(count).toBeGreaterThanOrEqual(left?.count as number)
    expect(orphan).toMatchObject({ state: 'error', node: 'killed', count, lastId: `${count}`, checkpoint: { count } })
    const next = await begin(storage, { resumedFrom: orphan?.executionId as string })
    expect(next).toMatchObject({ epoch: 2, checkpoint: { count } })
  })

  test('end when they have nothing to do but watch', async () => {
    const [code] = await once(await forkHere('_watching.ts', newSchema()), 'exit')
    expect(code).toBe(0)
  })

  test('abort what runs in another one, at once', async () => {
    const schema = newSchema()
    const [here, there] = [openRegistry(schema), openRegistry(schema)]
    here.define({
      type: 'test',
      id: 'a',
      run: ({ signal }) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    })
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
