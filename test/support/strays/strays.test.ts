import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const vitest = fileURLToPath(new URL('../../../node_modules/vitest/vitest.mjs', import.meta.url))
const config = fileURLToPath(new URL('vitest.config.ts', import.meta.url))

/** Runs the cases as a run of their own, which is to fail, and gives what it prints. */
function runCases(): Promise<{ failed: boolean; output: string }> {
  const { HEADGATE_TEST_STRAYS: _, NODE_OPTIONS: __, ...env } = process.env
  return new Promise((resolve) =>
    execFile(
      process.execPath,
      [vitest, 'run', '--config', config],
      { env: { ...env, NO_COLOR: '1' } },
      (error, stdout, stderr) => resolve({ failed: error !== null, output: stdout + stderr }),
    ),
  )
}

test('what no code handles fails the test that runs, or the run', async () => {
  const { failed, output } = await runCases()
  expect(failed).toBe(true)
  const failures = [
    'a process throws\nError: uncaughtException in process',
    'a process rejects\nError: unhandledRejection in process',
    'a process hides what it throws, and is killed\nError: uncaughtException in process',
    'a process has too many listeners\nError: warning in process',
    'this process hides what it rejects\nError: unhandledRejection in process',
  ]
  for (const failure of failures) expect(output).toContain(failure)
  for (const message of ['thrown in a', 'rejected in a', 'hidden in a'])
    expect(output).toContain(`Error: ${message} process`)
  expect(output).toContain('Error: rejected here')
  expect(output).toContain('Error: After the last test:')
  expect(output).toContain('Error: thrown too late')
  expect(output).toContain('child.mjs:')
}, 60_000)
