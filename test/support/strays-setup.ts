import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'

declare module 'vitest' {
  interface ProvidedContext {
    /** A folder for what no code handles in the processes of this run; see `strays.ts`. */
    strays: string
  }
}

/** Fails the run when a process reported a stray after the last test of its file, which no test could be told of. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), 'headgate-strays-'))
  project.provide('strays', folder)
  return async () => {
    const reports = await reportsIn(folder)
    await rm(folder, { recursive: true })
    if (reports.length > 0) throw new Error(`After the last test:\n${reports.join('\n\n')}`)
  }
}

async function reportsIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name))
  return Promise.all(files.map((file) => readFile(file, 'utf8')))
}
