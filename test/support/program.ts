import { mkdtemp, readFile } from 'node:fs/promises'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build, type Plugin } from 'esbuild'
import { inject } from 'vitest'

const programs = new Map<string, Promise<string>>()

/**
 * The file of a program that tests start as processes, made of the TypeScript at `url`: what is compiled at every start takes
 * longer than most of what such a process is told to do. It is there until the end of the run.
 */
export function programOf(url: URL): Promise<string> {
  const path = fileURLToPath(url)
  const made = programs.get(path) ?? make([path]).then((fileOf) => fileOf(path))
  programs.set(path, made)
  return made
}

let examples: Promise<(source: string) => string> | undefined

/** The program of an example, by its path in the folder of examples: they are made together, as some start others. */
export async function exampleProgram(name: string): Promise<string> {
  const folder = fileURLToPath(new URL('../../examples/', import.meta.url))
  examples ??= make(exampleNames.map((example) => join(folder, example)))
  return (await examples)(join(folder, name))
}

const exampleNames = [
  ...[
    'all-tables.ts',
    'api.ts',
    'cursor.ts',
    'custom-job.ts',
    'errors.ts',
    'failures.ts',
    'ingestion.ts',
    'minimal.ts',
    'parameters.ts',
    'partitions.ts',
    'pause.ts',
  ],
  ...[
    'prometheus.ts',
    'reload.ts',
    'resume.ts',
    'schedule.ts',
    'search-index.ts',
    'service.ts',
    'watch.ts',
    'webhook.ts',
  ],
  ...['express.ts', 'fastify.ts', 'hono.ts', 'koa.ts', 'nest.ts', 'node-http.ts'],
  ...[
    'cluster/index.ts',
    'cluster/worker.ts',
    'failover/index.ts',
    'failover/worker.ts',
    'client-page/index.ts',
    'search-map/index.ts',
  ],
]

/** Makes programs in one folder. Gives the function that says where the program of a file is. */
async function make(sources: string[]): Promise<(source: string) => string> {
  const folder = await mkdtemp(join(inject('programs'), 'program-'))
  const base = sources
    .map((source) => dirname(source))
    .reduce((one, other) => (one.length < other.length ? one : other))
  await build({
    entryPoints: sources,
    outbase: base,
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    // What is loaded later is not read before.
    splitting: true,
    platform: 'node',
    format: 'esm',
    // Two have parts that are native, the third is never there, and Nest looks for parts of its own that are not there.
    external: ['esbuild', 'libsql', 'pg-native', '@nestjs/*'],
    // What is in CommonJS asks for Node's own modules by `require`.
    banner: {
      js: "import { createRequire as requireAt } from 'node:module'; const require = requireAt(import.meta.url);",
    },
    plugins: [filesByPath(fileOf)],
    logLevel: 'error',
  })
  return fileOf

  function fileOf(source: string): string {
    return sources.includes(source) ? join(folder, relative(base, source).replace(/ts$/, 'mjs')) : source
  }
}

/** A program is elsewhere than its source, and finds by their path the files that lie beside that. */
function filesByPath(fileOf: (source: string) => string): Plugin {
  return {
    name: 'files by path',
    setup({ onLoad }) {
      onLoad({ filter: /[\\/](?:examples|test)[\\/].*\.ts$/ }, async ({ path }) => {
        const text = await readFile(path, 'utf8')
        const folder = dirname(path)
        const contents = text
          .replaceAll('import.meta.dirname', JSON.stringify(folder))
          .replace(/new URL\('([^']+)', import\.meta\.url\)/g, (_, file: string) => {
            return `new URL('${pathToFileURL(fileOf(resolve(folder, file)))}')`
          })
        return { contents, loader: 'ts' }
      })
    },
  }
}
