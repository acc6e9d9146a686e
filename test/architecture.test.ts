import { dirname } from 'node:path'
import ts from 'typescript'
import { describe, expect, test } from 'vitest'
import {
  compile,
  declarationsOf,
  lineOf,
  manifest,
  nodesOf,
  packageExports,
  packageName,
  type SourceFile,
  sources,
} from './support/source.js'

type Layer = 'core' | 'sql' | 'ingestion' | 'memory' | 'door' | 'wire' | 'client' | 'adapter'

/**
 * What each layer may import. The memory storage is an adapter that the door opens to, so it may not import the door; nor
 * may the client, and what it shares with the server, so that browsers get no more than they need.
 */
const reach: Record<Exclude<Layer, 'adapter'>, Layer[]> = {
  core: ['core'],
  memory: ['core'],
  sql: ['sql'],
  ingestion: ['core', 'sql', 'ingestion'],
  door: ['core', 'ingestion', 'memory', 'door'],
  wire: ['core'],
  client: ['core', 'wire', 'client'],
}

describe('imports run one way', () => {
  rule('a layer imports only what lies below it', ({ name, imports }) =>
    imports.filter((to) => !mayImport(name, to)).map((to) => `imports ${to}`),
  )

  rule('a file that starts with _ is private to its folder', ({ name, imports }) =>
    imports.filter((to) => isPrivate(to) && dirname(to) !== dirname(name)).map((to) => `imports ${to}`),
  )

  rule('only adapters import more than the dependencies', ({ name, packages }) => {
    if (layerOf(name) === 'adapter') return []
    return packages
      .filter((specifier) => !(packageName(specifier) in manifest.dependencies))
      .map((specifier) => `imports ${specifier}`)
  })

  test('there are no cycles', () => {
    expect(cycles()).toEqual([])
  })
})

describe('the library leaves its host alone', () => {
  rule('the core uses web-standard globals only', (source) => {
    // It asks for Node's events where there are any, and does without them elsewhere.
    if (layerOf(source.name) !== 'core' || source.name === 'core/abort.ts') return []
    return identifiers(source, ['process', 'Buffer', 'global', 'setImmediate', 'require', '__dirname'])
  })

  rule('signals are made by core/abort.ts, so that Node does not warn of their listeners', (source) => {
    if (/^(core\/abort\.ts$|client\/|testing\/)/.test(source.name)) return []
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
  rule('a file has up to 350 lines', ({ tree }) => {
    const lines = tree.getLineStarts().length - 1
    return lines > 350 ? [`has ${lines}`] : []
  })

  rule('a function has up to 60 lines', ({ tree }) =>
    nodesOf(tree)
      .filter(ts.isFunctionLike)
      .map((node) => ({ node, lines: lineOf(node, node.getEnd()) - lineOf(node) + 1 }))
      .filter(({ lines }) => lines > 60)
      .map(({ node, lines }) => `the function at line ${lineOf(node)} has ${lines}`),
  )

  rule('a contract has up to 8 required methods', ({ name, tree }) => {
    if (!['core/storage.ts', 'ingestion/datasource.ts', 'ingestion/target.ts'].includes(name)) return []
    return tree.statements
      .filter(ts.isInterfaceDeclaration)
      .map((contract) => ({ contract, methods: contract.members.filter(isRequiredMethod).length }))
      .filter(({ methods }) => methods > 8)
      .map(({ contract, methods }) => `${contract.name.text} has ${methods}`)
  })

  rule('a framework adapter has up to 50 lines', ({ name, tree }) => {
    const lines = tree.getLineStarts().length - 1
    return /^http\/(express|fastify|koa)\.ts$/.test(name) && lines > 50 ? [`has ${lines}`] : []
  })
})

describe('errors', () => {
  rule('only core/errors.ts throws a bare Error', ({ name, tree }) => {
    if (name === 'core/errors.ts') return []
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

function layerOf(name: string): Layer {
  if (name === 'storage/memory.ts') return 'memory'
  if (name === 'http/wire-bodies.ts') return 'wire'
  if (!name.includes('/')) return 'door'
  const folder = topFolder(name)
  const layers = ['core', 'sql', 'ingestion', 'client'] as const
  return layers.find((layer) => layer === folder) ?? 'adapter'
}

function mayImport(from: string, to: string): boolean {
  const layer = layerOf(from)
  if (layer === 'adapter') {
    if (to === 'index.ts' || layerOf(to) === 'sql' || topFolder(from) === topFolder(to)) return true
    return isOfPostgres(from) && topFolder(to) === 'postgres'
  }
  return reach[layer].includes(layerOf(to))
}

/** The adapters to Postgres share a private folder, which itself imports the door alone. */
function isOfPostgres(name: string): boolean {
  return /^(datasource|target|storage)\/_?postgres/.test(name)
}

function topFolder(name: string): string | undefined {
  return name.split('/')[0]
}

function isPrivate(name: string): boolean {
  return /(^|\/)_[^/]*$/.test(name)
}

function cycles(): string[] {
  const imports = new Map(sources.map((source) => [source.name, source.imports]))
  const done = new Set<string>()
  const found: string[] = []
  const visit = (name: string, path: string[]): void => {
    if (path.includes(name)) found.push([...path.slice(path.indexOf(name)), name].join(' → '))
    if (path.includes(name) || done.has(name)) return
    for (const next of imports.get(name) ?? []) visit(next, [...path, name])
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
