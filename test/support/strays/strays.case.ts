import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { test } from 'vitest'

// Each of these passes but for `strays.ts`: `strays.test.ts` sees them fail.

const program = fileURLToPath(new URL('child.mjs', import.meta.url))

function start(what: string, options = {}): ChildProcess {
  return fork(program, [what], { execArgv: [], silent: true, ...options })
}

test('a process throws', () => once(start('throw'), 'exit'))

test('a process rejects', () => once(start('reject'), 'exit'))

test('a process hides what it throws, and is killed', async () => {
  const child = start('hide')
  await once(child, 'message')
  child.kill('SIGKILL')
  await once(child, 'exit')
})

test('a process has too many listeners', () => once(start('warn'), 'exit'))

test('this process hides what it rejects', async () => {
  process.on('unhandledRejection', () => undefined)
  void Promise.reject(new Error('rejected here'))
})

test('a process throws when this one is gone', async () => {
  const child = start('later')
  await once(child, 'message')
  child.unref()
})
