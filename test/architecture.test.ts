import ts from 'typescript'
import { describe, expect, test } from 'vitest'
import {
  compile,
  declarationsOf,
  isOfPage,
  lineOf,
  manifest,
  nodesOf,
  packageExports,
  packageName,
  type SourceFile,
  sources,
} from './support/source.js'

/** What each folder of `src` may import, beside itself. An adapter imports what its authors have, and the code that adapters share. */
const reach: Record<string, readonly string[]> = {
  core: [],
  ingestion: ['core'],
  sql: ['core', 'ingestion'],
  'adapter.ts': ['core', 'ingestion', 'sql'],
  'job-registry.ts': ['core', 'ingestion'],
  'index.ts': ['core', 'ingestion', 'job-registry.ts', 'adapters/memory'],
  'adapters/shared': ['adapter.ts'],
  adapters: ['adapter.ts', 'adapters/shared'],
  wire: ['core'],
  client: ['core', 'ingestion', 'wire'],
  http: ['index.ts', 'adapter.ts', 'wire'],
  dashboard: ['index.ts', 'adapter.ts', 'wire', 'client', 'http'],
  'dashboard/page': ['wire', 'client'],
  nestjs: ['index.ts', 'adapter.ts', 'http', 'dashboard'],
  opentelemetry: ['index.ts', 'adapter.ts'],
  testing: ['index.ts', 'adapter.ts', 'adapters/shared'],
}

describe('imports run one way', () => {
  rule('a folder imports only what lies below it', ({ name, imports }) =>
    imports.filter((to) => !mayImport(unitOf(name), unitOf(to))).map((to) => `imports ${to}`),
  )

  rule('a folder is entered by its index.ts', ({ name, imports }) =>
    imports.filter((to) => to !== entryOf(name, to)).map((to) => `imports ${to}`),
  )

  rule('only adapters import more than the dependencies', ({ name, packages }) => {
    if (!['core', 'ingestion', 'wire', 'client'].includes(unitOf(name))) return []
    return packages
      .filter((specifier) => !(packageName(specifier) in manifest.dependencies))
      .map((specifier) => `imports ${specifier}`)
  })

  rule('adapters load a driver when they first need it', ({ name, tree }) => {
    if (!name.startsWith('adapters/')) return []
    return tree.statements
      .filter(ts.isImportDeclaration)
      .filter(({ importClause }) => !importClause?.isTypeOnly)
      .map(({ moduleSpecifier }) => (moduleSpecifier as ts.StringLiteral).text)
      .filter((specifier) => packageName(specifier) in manifest.peerDependencies)
      .map((specifier) => `imports ${specifier}`)
  })

  test('there are no cycles, neither of files nor of folders', () => {
    expect(cycles()).toEqual([])
  })
})

describe('the library leaves its host alone', () => {
  rule('the core uses web-standard globals only', (source) => {
    // These ask for Node's events and turns where there are any, and do without them elsewhere.
    if (unitOf(source.name) !== 'core' || /^core\/base\/(abort|event-loop-turns)\.ts$/.test(source.name)) return []
    return identifiers(source, ['process', 'Buffer', 'global', 'setImmediate', 'require', '__dirname'])
  })

  rule('signals are made by core/base/abort.ts, so that Node does not warn of their listeners', (source) => {
    if (/^(core\/base\/abort\.ts$|client\/|testing\/|dashboard\/page\/)/.test(source.name)) return []
    return nodesOf(source.tree)
      .filter((node) => /^(new AbortController\(\)|AbortSignal\.any)$/.test(node.getText()))
      .map((node) => `line ${lineOf(node)} uses ${node.getText()}`)
  })

  rule('nothing reads the environment, handles signals or ends the process', ({ tree }) =>
    nodesOf(tree)
      .filter(ts.isPropertyAccessExpression)
      .filter((node) => /^process\.(env|on|once|exit|exitCode|chdir)$/.test(node.getText()))
      .map((node) => `line ${lineOf(node)} uses ${node.getText()}`),
  )
})

describe('sizes', () => {
  rule('a file has up to 350 lines behind its imports', ({ tree }) => {
    const imports = tree.statements.filter(ts.isImportDeclaration).at(-1)?.getEnd() ?? 0
    const lines = tree.getLineStarts().length - 1 - tree.getLineAndCharacterOfPosition(imports).line
    return lines > 350 ? [`has ${lines}`] : []
  })

  rule('a function has up to 60 lines', ({ tree }) =>
    nodesOf(tree)
      .filter(ts.isFunctionLike)
      .map((node) => ({ node, lines: lineOf(node, node.getEnd()) - lineOf(node) + 1 }))
      .filter(({ lines }) => lines > 60)
      .map(({ node, lines }) => `the function at line ${lineOf(node)} has ${lines}`),
  )

  rule('a contract has up to 10 required methods', ({ name, tree }) => {
    if (
      !['core/storage/job-storage.ts', 'ingestion/contract/datasource.ts', 'ingestion/contract/target.ts'].includes(
        name,
      )
    )
      return []
    return tree.statements
      .filter(ts.isInterfaceDeclaration)
      .map((contract) => ({ contract, methods: contract.members.filter(isRequiredMethod).length }))
      .filter(({ methods }) => methods > 10)
      .map(({ contract, methods }) => `${contract.name.text} has ${methods}`)
  })

  rule('a framework adapter has up to 50 lines', ({ name, tree }) => {
    const lines = tree.getLineStarts().length - 1
    return /^http\/mounts\/(express|fastify|koa)\.ts$/.test(name) && lines > 50 ? [`has ${lines}`] : []
  })
})

describe('errors', () => {
  rule('only core/base/errors.ts throws a bare Error', ({ name, tree }) => {
    if (name === 'core/base/errors.ts') return []
    return nodesOf(tree)
      .filter(isThrowOfError)
      .map((node) => `line ${lineOf(node)}`)
  })

  rule('no catch is empty', ({ tree }) =>
    nodesOf(tree)
      .filter(ts.isCatchClause)
      .filter(({ block }) => block.statements.length === 0)
      .map((node) => `line ${lineOf(node)}`),
  )
})

describe('public types', () => {
  const program = compile()
  const declarations = declarationsOf(program)

  test('have no any', () => {
    const found = declarations.flatMap((file) =>
      nodesOf(file)
        .filter((node) => node.kind === ts.SyntaxKind.AnyKeyword)
        .map((node) => `${file.fileName}: ${node.parent.getText()}`),
    )
    expect(found).toEqual([])
  })

  test('have no types of a driver', () => {
    const found = declarations.flatMap((file) =>
      ts
        .preProcessFile(file.text)
        .importedFiles.filter(({ fileName }) => packageName(fileName) in manifest.peerDependencies)
        .map(({ fileName }) => `${file.fileName}: imports ${fileName}`),
    )
    expect(found).toEqual([])
  })

  test.each(packageExports)('of $specifier have a docstring each', ({ source }) => {
    expect(undocumented(program, source)).toEqual([])
  })
})

/** A test that `check` finds nothing to say about any file of src. */
function rule(title: string, check: (source: SourceFile) => string[]): void {
  test(title, () => {
    const broken = sources.flatMap((source) => check(source).map((what) => `src/${source.name}: ${what}`))
    expect(broken, title).toEqual([])
  })
}

/** The part of `src` that a file belongs to: a folder, a system among the adapters, the page, or a file that is a way in. */
function unitOf(name: string): string {
  const [folder, system] = name.split('/') as [string, string?]
  if (isOfPage(name)) return 'dashboard/page'
  return folder === 'adapters' ? `${folder}/${system}` : folder
}

function mayImport(from: string, to: string): boolean {
  if (from === to) return true
  const below = reach[from] ?? reach[from.split('/')[0] as string] ?? []
  return below.includes(to)
}

/** Folders that only hold others, each of which is entered by itself. */
const groups = [
  ...['core/', 'adapters/', 'http/', 'http/mounts/'],
  ...['data', 'parts', 'views'].map((folder) => `dashboard/page/${folder}/`),
]

/** The file by which `from` has to import `to`: the face of the outermost folder that `from` is not in. */
function entryOf(from: string, to: string): string {
  const folders = to.split('/').map((_, index, parts) => parts.slice(0, index).join('/') + (index > 0 ? '/' : ''))
  const entered = folders.find((folder) => folder !== '' && !from.startsWith(folder) && !groups.includes(folder))
  return entered === undefined ? to : `${entered}index.ts`
}

/** The cycles of files, and those of the folders that lie beside each other. */
function cycles(): string[] {
  const files = sources.flatMap(({ name, imports }) => imports.map((to): [string, string] => [name, to]))
  return [...cyclesOf(files), ...cyclesOf(files.flatMap(([from, to]) => siblingsOf(from, to)))]
}

/** The two folders or files in the innermost folder that holds both. */
function siblingsOf(from: string, to: string): [string, string][] {
  const [a, b] = [from.split('/'), to.split('/')]
  const depth = a.findIndex((part, index) => part !== b[index])
  if (depth < 0 || (depth === a.length - 1 && depth === b.length - 1)) return []
  return [[a.slice(0, depth + 1).join('/'), b.slice(0, depth + 1).join('/')]]
}

function cyclesOf(edges: readonly (readonly [string, string])[]): string[] {
  const imports = new Map<string, Set<string>>()
  for (const [from, to] of edges) imports.set(from, (imports.get(from) ?? new Set()).add(to))
  const done = new Set<string>()
  const found: string[] = []
  const visit = (name: string, path: string[]): void => {
    if (path.includes(name)) found.push([...path.slice(path.indexOf(name)), name].join(' → '))
    if (path.includes(name) || done.has(name)) return
    for (const to of imports.get(name) ?? []) visit(to, [...path, name])
    done.add(name)
  }
  for (const name of imports.keys()) visit(name, [])
  return found
}

function identifiers({ tree }: SourceFile, names: string[]): string[] {
  return nodesOf(tree)
    .filter(ts.isIdentifier)
    .filter((node) => names.includes(node.text) && !isName(node))
    .map((node) => `line ${lineOf(node)} uses ${node.text}`)
}

/** Whether the identifier names a member, as in `this.process`, and is no use of a variable. */
function isName(node: ts.Identifier): boolean {
  return (node.parent as { name?: ts.Node }).name === node
}

function isRequiredMethod(member: ts.TypeElement): boolean {
  if (member.questionToken) return false
  return ts.isMethodSignature(member) || (ts.isPropertySignature(member) && isFunctionType(member.type))
}

function isFunctionType(type: ts.TypeNode | undefined): boolean {
  return type !== undefined && ts.isFunctionTypeNode(type)
}

function isThrowOfError(node: ts.Node): boolean {
  return (
    ts.isThrowStatement(node) && ts.isNewExpression(node.expression) && node.expression.expression.getText() === 'Error'
  )
}

/** The names that a file exports without saying what they are. */
function undocumented(program: ts.Program, source: string): string[] {
  const checker = program.getTypeChecker()
  const file = program.getSourceFiles().find((candidate) => candidate.fileName.endsWith(`/src/${source}`))
  const module = file && checker.getSymbolAtLocation(file)
  if (!module) return [`src/${source}: exports nothing`]
  return checker
    .getExportsOfModule(module)
    .map((symbol) => (symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol))
    .filter((symbol) => symbol.getDocumentationComment(checker).length === 0)
    .map((symbol) => `src/${source}: ${symbol.name}`)
}
