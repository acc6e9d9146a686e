/** Builds the page of the dashboard into `src/dashboard/page.generated.js`: `npm run build:page`. */
import { createHash } from 'node:crypto'
import { rename, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { build, type Plugin } from 'esbuild'

const root = fileURLToPath(new URL('..', import.meta.url))
const generated = `${root}src/dashboard/page.generated.js`

/** The server redacts what it sends. In the page, the patterns for that would be a sixth of the script. */
const withoutRedaction: Plugin = {
  name: 'without redaction',
  setup({ onResolve }) {
    const path = `${root}src/dashboard/page/data/redaction.ts`
    onResolve({ filter: /[\\/]redaction[\\/]index\.js$/ }, () => ({ path }))
  },
}

/** Builds the script and the style of the page, minified. */
export async function buildPage(): Promise<void> {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: { app: 'src/dashboard/page/main.tsx' },
    outdir: 'page',
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    charset: 'utf8',
    legalComments: 'none',
    tsconfig: 'src/dashboard/page/tsconfig.json',
    plugins: [withoutRedaction],
    write: false,
  })
  const textOf = (ending: string) => outputFiles.find(({ path }) => path.endsWith(ending))?.text.trimEnd() ?? ''
  const [script, style] = [textOf('.js'), textOf('.css')]
  const version = createHash('sha256').update(script).update(style).digest('hex').slice(0, 12)
  const lines = Object.entries({ pageVersion: version, pageStyle: style, pageScript: script }).map(
    ([name, text]) => `export const ${name} = ${JSON.stringify(text)}\n`,
  )
  // At once: another process may read the module meanwhile.
  const written = `${generated}.${process.pid}`
  await writeFile(written, lines.join(''))
  await rename(written, generated)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await buildPage()
