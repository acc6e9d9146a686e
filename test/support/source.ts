import { readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

/** The folder of the package. */
export const root = fileURLToPath(new URL('../..', import.meta.url))

/** What package.json says. */
export const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  exports: Record<string, string | { types: string; default: string }>
  scripts: Record<string, string>
  dependencies: Record<string, string>
  peerDependencies: Record<string, string>
  peerDependenciesMeta: Record<string, { optional: boolean }>
  devDependencies: Record<string, string>
}

/** A way into the package. */
export interface PackageExport {
  /** What is imported: `headgate/http`. */
  readonly specifier: string
  /** The file that it is built from, relative to src: `http/handler.ts`. */
  readonly source: string
}

/** The exports of package.json that are code. */
export const packageExports: PackageExport[] = Object.entries(manifest.exports).flatMap(([subpath, target]) => {
  if (typeof target === 'string') return []
  const source = target.default.replace('./dist/', '').replace(/\.js$/, '.ts')
  return { specifier: subpath.replace('.', 'headgate'), source }
})

/** One file of src, with what it imports. */
export interface SourceFile {
  /** Relative to src, with forward slashes: `core/clock.ts`. */
  readonly name: string
  readonly tree: ts.SourceFile
  /** The names of the files of src that it imports, types and dynamic imports too. */
  readonly imports: string[]
  /** What it imports from elsewhere, as written: `pg`, `node:fs`. */
  readonly packages: string[]
}

const src = join(root, 'src')

const paths = ts.sys.readDirectory(src, ['.ts', '.tsx'])

/** Every file of src. */
export const sources: SourceFile[] = paths.map(readSource)

function readSource(path: string): SourceFile {
  const text = readFileSync(path, 'utf8')
  const specifiers = ts.preProcessFile(text, true, true).importedFiles.map((file) => file.fileName)
  return {
    name: nameOf(path),
    tree: ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true),
    imports: specifiers.filter(isCode).map((to) => nameOf(sourceOf(join(dirname(path), to)))),
    packages: specifiers.filter((specifier) => !isRelative(specifier)),
  }
}

function nameOf(path: string): string {
  return relative(src, path).replaceAll('\\', '/')
}

function isRelative(specifier: string): boolean {
  return specifier.startsWith('.')
}

function isCode(specifier: string): boolean {
  return isRelative(specifier) && !specifier.endsWith('.css')
}

/** The file that an import of a file of JavaScript leads to. */
function sourceOf(path: string): string {
  const [code, page] = ['.ts', '.tsx'].map((ending) => path.replace(/\.js$/, ending)) as [string, string]
  return paths.includes(page.replaceAll('\\', '/')) ? page : code
}

/** Whether a file is of the page of the dashboard, which is built into one file and runs in browsers. */
export function isOfPage(name: string): boolean {
  return name.startsWith('dashboard/page/')
}

/** The package that an import names: `@scope/name/sub` is of `@scope/name`. */
export function packageName(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')
}

/** Every node below `node`, itself first. */
export function nodesOf(node: ts.Node): ts.Node[] {
  const found = [node]
  ts.forEachChild(node, (child) => {
    found.push(...nodesOf(child))
  })
  return found
}

/** The line of `node`, as editors count. */
export function lineOf(node: ts.Node, position = node.getStart()): number {
  return node.getSourceFile().getLineAndCharacterOfPosition(position).line + 1
}

/** What tsconfig.json says. */
export function compilerOptions(): ts.CompilerOptions {
  const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile)
  return ts.parseJsonConfigFileContent(config, ts.sys, root).options
}

/** All of src as the compiler sees it, except for the page, which exports nothing to users. */
export function compile(): ts.Program {
  const exporting = paths.filter((path) => !isOfPage(nameOf(path)))
  return ts.createProgram(exporting, {
    ...compilerOptions(),
    noEmit: false,
    declaration: true,
    emitDeclarationOnly: true,
  })
}

/** The public types: the declaration of every file of src, as a user's compiler gets them. */
export function declarationsOf(program: ts.Program): ts.SourceFile[] {
  const declarations: ts.SourceFile[] = []
  program.emit(undefined, (path, text) => {
    declarations.push(ts.createSourceFile(nameOf(path), text, ts.ScriptTarget.Latest, true))
  })
  return declarations
}
