import { mkdtemp } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { inject } from 'vitest'

const programs = new Map<string, Promise<string>>()

/**
 * The file of a program that tests start as processes, made of the TypeScript at `url`: what is compiled at every start takes
 * longer than most of what such a process is told to do. It is there until the end of the run.
 */
export function programOf(url: URL): Promise<string> {
  const made = programs.get(url.href) ?? make(fileURLToPath(url))
  programs.set(url.href, made)
  return made
}

async function make(source: string): Promise<string> {
  const folder = await mkdtemp(join(inject('programs'), 'program-'))
  await build({
    entryPoints: [source],
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    // What is loaded later is not read before.
    splitting: true,
    platform: 'node',
    format: 'esm',
    // One is native, and the other is never there.
    external: ['libsql', 'pg-native'],
    // What is in CommonJS asks for Node's own modules by `require`.
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
    logLevel: 'error',
  })
  return join(folder, basename(source).replace(/ts$/, 'mjs'))
}
