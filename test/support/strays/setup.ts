import { readdir } from 'node:fs/promises'
import { setTimeout } from 'node:timers/promises'
import type { TestProject } from 'vitest/node'
import collect from '../strays-setup.js'

/** As for the whole run, but for a process that outlives its test: waits for what that reports. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const check = await collect(project)
  const folder = project.getProvidedContext().strays
  return async () => {
    for (let wait = 0; wait < 200 && !(await isReported(folder)); wait++) await setTimeout(20)
    await check()
  }
}

async function isReported(folder: string): Promise<boolean> {
  return (await readdir(folder, { recursive: true })).some((name) => name.endsWith('.txt'))
}
