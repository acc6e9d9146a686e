import { readFileSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { join } from 'node:path'
import ts from 'typescript'
import { describe, expect, test } from 'vitest'
import { compilerOptions, manifest, packageExports, packageName, root, sources } from './support/source.js'

/** One adapter = one file = one subpath = one docs page = one test file, all of the same name: `storage/memory`. */
const adapterName = /^(storage|datasource|target|dispatch|http)\/[^_/]+$/

const adapters = packageExports
  .map(({ source }) => source.replace(/\.ts$/, ''))
  .filter((name) => adapterName.test(name))

/** Pages that are about no subpath: the line that is the default, servers that take the handler as it is, and what holds for all servers. */
const otherPages = ['dispatch/local', 'http/bun', 'http/deno', 'http/fetch', 'http/hono', 'http/next', 'http/security']

describe('exports', () => {
  test.each(packageExports)('$specifier is built from a file of src', ({ source }) => {
    expect(sources.map(({ name }) => name)).toContain(source)
  })

  test.each(packageExports)('$specifier leads to its source here', ({ specifier, source }) => {
    const { resolvedModule } = ts.resolveModuleName(specifier, join(root, 'test/x.ts'), compilerOptions(), ts.sys)
    expect(resolvedModule?.resolvedFileName).toBe(join(root, 'src', source))
  })

  test('have types and code of one name', () => {
    const targets = Object.values(manifest.exports).filter((target) => typeof target === 'object')
    for (const target of targets) expect(target).toEqual(builtFrom(target.default))
  })
})

describe('adapters', () => {
  test('are the public files of storage, datasource, target and dispatch', () => {
    const files = sources.map(({ name }) => name.replace(/\.ts$/, '')).filter((name) => adapterName.test(name))
    expect(files.filter((name) => !name.startsWith('http/')).sort()).toEqual(
      adapters.filter((name) => !name.startsWith('http/')).sort(),
    )
  })

  test('have a page in docs each, and each page has an adapter', () => {
    const pages = filesIn('docs', '.md').filter((name) => adapterName.test(name))
    expect(pages.sort()).toEqual([...adapters, ...otherPages].sort())
  })

  test.each(adapters)('%s has a test file', (name) => {
    expect(filesIn('test', '.test.ts')).toContain(name)
  })
})

describe('dependencies', () => {
  const imported = new Set(sources.flatMap(({ packages }) => packages.map(packageName)))

  test('are what src imports', () => {
    expect(Object.keys(manifest.dependencies).filter((name) => !imported.has(name))).toEqual([])
  })

  test('of an adapter are dependencies or optional peers', () => {
    const known = { ...manifest.dependencies, ...manifest.peerDependencies }
    expect([...imported].filter((name) => !isBuiltin(name) && !(name in known))).toEqual([])
  })

  test('that are peers are optional, imported by an adapter or what one mounts on, and there in development', () => {
    for (const name of Object.keys(manifest.peerDependencies)) {
      expect(manifest.peerDependenciesMeta[name], name).toEqual({ optional: true })
      expect([...imported, ...adapters], name).toContain(adapters.includes(`http/${name}`) ? `http/${name}` : name)
      expect(manifest.devDependencies, name).toHaveProperty(name)
    }
  })
})

test('CHANGELOG.md has Unreleased on top', () => {
  const [heading] = readFileSync(join(root, 'CHANGELOG.md'), 'utf8').match(/^## .*$/m) ?? []
  expect(heading).toMatch(/^## \[?Unreleased\]?$/)
})

function builtFrom(code: string): { types: string; default: string } {
  return { types: code.replace(/\.js$/, '.d.ts'), default: code }
}

/** The files below a folder that end with `ending`, without it. */
function filesIn(folder: string, ending: string): string[] {
  return ts.sys
    .readDirectory(join(root, folder), [ending])
    .map((path) => path.slice(join(root, folder).length + 1, -ending.length))
}
