/** Builds the page of the dashboard into `src/dashboard/page.generated.ts`: `npm run build:page`. */
import { createHash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = fileURLToPath(new URL('..', import.meta.url))

/** The file that the page is built into. */
export const generatedFile = `${root}src/dashboard/page.generated.ts`

/** The text of the file: the script and the style of the page, minified. */
export async function buildPage(): Promise<string> {
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
    write: false,
  })
  const textOf = (ending: string) => outputFiles.find(({ path }) => path.endsWith(ending))?.text.trimEnd() ?? ''
  const [script, style] = [textOf('.js'), textOf('.css')]
  const version = createHash('sha256').update(script).update(style).digest('hex').slice(0, 12)
  const lines = Object.entries({ pageVersion: version, pageStyle: style, pageScript: script }).map(
    ([name, text]) => `export const ${name} = ${JSON.stringify(text)}`,
  )
  return `// Built by \`npm run build:page\` from src/dashboard/page.\n${lines.join('\n')}\n`
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await writeFile(generatedFile, await buildPage())
