import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { build } from 'esbuild'
import { JobsClient } from 'headgate/client'
import ts from 'typescript'
import { expect, inject, it, onTestFinished } from 'vitest'
import { exampleProgram } from '../support/program.js'

it.each(['express', 'fastify'])('the example serves jobs and health on %s, until a signal ends it', async (server) => {
  const program = spawn(process.execPath, [await exampleProgram('nest.ts'), server], {
    env: { ...process.env, PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  onTestFinished(() => void program.kill('SIGKILL'))
  let printed = ''
  program.stdout.setEncoding('utf8').on('data', (text) => (printed += text))
  await expect.poll(() => printed).toMatch(/Listening on \S+\n/)
  const [, url] = /Listening on (\S+)\n/.exec(printed) ?? []

  const client = new JobsClient({ url: `${url}/jobs` })
  for (const [type, id] of [
    ['ingestion', 'orders'],
    ['report', 'daily'],
  ] as const) {
    await client.start(type, id)
    await expect.poll(() => client.status(type, id)).toMatchObject({ state: 'successful', count: 1 })
  }
  expect(await (await fetch(`${url}/dashboard/`)).text()).toContain('<!doctype html>')
  expect(await (await fetch(`${url}/health`)).json()).toMatchObject({ jobs: { status: 'up' } })
  expect(printed).toContain('Job [report/daily] was successful.')

  const events = (await fetch(`${url}/jobs/_events`)).text()
  program.kill('SIGTERM')
  expect(await once(program, 'exit')).toEqual([null, 'SIGTERM'])
  await events
})

it('an application in CommonJS starts, injects by the types of constructors, and ends when it is closed', async () => {
  const folder = await mkdtemp(join(inject('programs'), 'commonjs-'))
  await packageIn(join(folder, 'node_modules', 'headgate'))
  const source = await readFile(new URL('commonjs-app.ts', import.meta.url), 'utf8')
  const compilerOptions = {
    module: ts.ModuleKind.CommonJS,
    target: ts.ScriptTarget.ES2022,
    experimentalDecorators: true,
    emitDecoratorMetadata: true,
  }
  await writeFile(join(folder, 'app.cjs'), ts.transpileModule(source, { compilerOptions }).outputText)
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [join(folder, 'app.cjs')], { timeout: 50_000 })
  expect(stderr).toBe('')
  const report = { state: 'successful', count: 1, health: { headgate: { status: 'up', node: 'node 0' } } }
  const job = { found: true, status: { state: 'successful', count: 1 } }
  expect(
    stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line)),
  ).toMatchObject([
    [report, job],
    [report, job],
  ])
})

/** Makes the package of the sources: the parts of it that the application imports. */
async function packageIn(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true })
  const exports = { '.': './index.js', './nestjs': './nestjs/index.js' }
  await writeFile(join(folder, 'package.json'), JSON.stringify({ name: 'headgate', type: 'module', exports }))
  const sources = ['index.ts', 'nestjs/index.ts'].map((name) => join(import.meta.dirname, '../../src', name))
  await build({
    entryPoints: sources,
    outbase: join(import.meta.dirname, '../../src'),
    outdir: folder,
    bundle: true,
    splitting: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
  })
}
