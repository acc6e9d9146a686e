import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type EndContext, type EndedStatus, JobRegistry } from 'headgate'
import { sqliteStorage } from 'headgate/sqlite'
import { expect, test, vi } from 'vitest'
import { programOf } from '../support/program.js'

test.concurrent.each([
  ['run', 'error'],
  ['claim', 'successful'],
  ['call', 'successful'],
])(
  'another process notifies of an end when the process is killed at its %s',
  { timeout: 60_000 },
  async (moment, state) => {
    const folder = await mkdtemp(join(tmpdir(), 'headgate-ends-'))
    const path = join(folder, 'jobs.db')
    const child = spawn(process.execPath, [await programOf(new URL('ender.ts', import.meta.url)), path, moment])
    await once(child.stdout, 'data')
    child.kill('SIGKILL')
    await once(child, 'exit')
    const ended = vi.fn<(status: EndedStatus, context: EndContext) => void>()
    const registry = new JobRegistry({ storage: sqliteStorage({ path }), lease: 400, onEndTimeout: 300 })
    registry.define({ type: 'test', id: 'a', run: () => {}, onEnd: ended })
    try {
      await vi.waitFor(() => expect(ended).toHaveBeenCalled(), 30_000)
      expect(ended.mock.calls).toMatchObject([[{ id: 'a', state }, {}]])
    } finally {
      await registry.close()
      await rm(folder, { recursive: true })
    }
  },
)
