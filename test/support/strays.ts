/**
 * Fails the test that runs when an `uncaughtException`, an `unhandledRejection` or a `MaxListenersExceededWarning` is seen
 * in this process or in one that a test starts, also when a listener hides it or the process is killed afterwards.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { afterAll, afterEach, inject } from 'vitest'

const program = new URL('report-strays.mjs', import.meta.url).href
const option = `--import=${program}`
const { HEADGATE_TEST_STRAYS: known, NODE_OPTIONS: options = '' } = process.env
const folder = known ?? mkdtempSync(join(inject('strays'), 'worker-'))

// Processes inherit both. A worker runs many files, of which the first sets them.
process.env.HEADGATE_TEST_STRAYS = folder
process.env.NODE_OPTIONS = options.includes(option) ? options : `${options} ${option}`.trim()
await import(program)

afterEach(expectNone)
// What came between the last test and the end of the file. Later ones fail the run: see `global-setup.ts`.
afterAll(expectNone)

async function expectNone(): Promise<void> {
  // Node reports a rejection when all microtasks are done.
  await setImmediate()
  const strays = takeStrays(folder)
  if (strays.length > 0) throw new Error(strays.join('\n\n'))
}

/** What was reported into a folder, which is empty then. */
function takeStrays(folder: string): string[] {
  return readdirSync(folder).map((name) => {
    const file = join(folder, name)
    const text = readFileSync(file, 'utf8')
    rmSync(file)
    return text
  })
}
