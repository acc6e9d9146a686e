import { execSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { dirname, join, normalize } from 'node:path'
import ts from 'typescript'
import { describe, expect, test } from 'vitest'
import { compilerOptions, isOfPage, manifest, packageExports, packageName, root, sources } from './support/source.js'

/** One role of a system = one file = one page = one test file: `postgres/target`. The system is one subpath. */
const roles = sources.flatMap(
  ({ name }) => /^adapters\/(\w+\/(?:datasource|target|storage|dispatcher))\.ts$/.exec(name)?.[1] ?? [],
)

/** What takes the API on a server, a page and a test file each. */
const mounts = packageExports.flatMap(({ source }) => /^http\/mounts\/(\w+)\.ts$/.exec(source)?.[1] ?? [])

/** Pages of docs/reference/http that are about no subpath: servers that take the handler as it is, and what holds for all. */
const otherPages = ['bun', 'deno', 'fetch', 'handler', 'hono', 'next', 'security']

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
  test('are a subpath for each system, but for the memory, which comes with the registry', () => {
    const systems = [...new Set(roles.map((role) => role.split('/')[0]))].filter((system) => system !== 'memory')
    const subpaths = packageExports.filter(({ source }) => /^adapters\/[^/]+\/index\.ts$/.test(source))
    expect(subpaths.map(({ specifier }) => specifier).sort()).toEqual(systems.map((name) => `headgate/${name}`).sort())
  })

  test.each(roles)('%s has a page and a test file', (role) => {
    expect(filesIn('docs/reference', '.md')).toContain(role)
    expect(filesIn('test/adapters', '.test.ts')).toContain(role)
  })

  test('on servers have a page each, and each page of a server has one', () => {
    expect(filesIn('docs/reference/http', '.md').sort()).toEqual([...mounts, ...otherPages].sort())
  })

  test.each(mounts)('http/%s has a test file', (mount) => {
    expect(filesIn('test/http', '.test.ts')).toContain(mount)
  })
})

describe('dependencies', () => {
  const packagesOf = (files: typeof sources) => new Set(files.flatMap(({ packages }) => packages.map(packageName)))
  const imported = packagesOf(sources.filter(({ name }) => !isOfPage(name)))

  test('are what src imports', () => {
    expect(Object.keys(manifest.dependencies).filter((name) => !imported.has(name))).toEqual([])
  })

  test('of an adapter are dependencies or optional peers', () => {
    const known = { ...manifest.dependencies, ...manifest.peerDependencies }
    expect([...imported].filter((name) => !isBuiltin(name) && !(name in known))).toEqual([])
  })

  test('of the page of the dashboard are there in development, as it is built with them inside', () => {
    const bundled = packagesOf(sources.filter(({ name }) => isOfPage(name)))
    expect([...bundled].filter((name) => !(name in manifest.devDependencies))).toEqual([])
  })

  test('that are peers are optional, imported by an adapter or a server that it mounts on, and there in development', () => {
    for (const name of Object.keys(manifest.peerDependencies)) {
      expect(manifest.peerDependenciesMeta[name], name).toEqual({ optional: true })
      expect([...imported, ...mounts], name).toContain(name)
      expect(manifest.devDependencies, name).toHaveProperty(name)
    }
  })
})

describe('the packed files', () => {
  const listing = execSync('npm pack --dry-run --json --ignore-scripts', { cwd: root, encoding: 'utf8', stdio: 'pipe' })
  const [{ files }] = JSON.parse(listing) as [{ files: { path: string }[] }]
  const packed = files.map(({ path }) => path).filter((path) => !path.startsWith('dist/'))
  const textOf = (path: string) => readFileSync(join(root, path), 'utf8')

  /** Which links of the packed files with that ending lead to a file that is not packed. */
  function missing(ending: string, link: RegExp, fileOf = (link: string) => link): string[] {
    return packed
      .filter((path) => path.endsWith(ending))
      .flatMap((path) => [...textOf(path).matchAll(link)].map(([, to = '']) => ({ path, to })))
      .filter(({ path, to }) => !packed.includes(fileOf(normalize(join(dirname(path), to)))))
      .map(({ path, to }) => `${path}: ${to}`)
  }

  test('link to packed files only', () => {
    expect(packed).toContain('docs/README.md')
    expect(missing('.md', /\]\((?![a-z]+:|#)([^)\s#]+)/g)).toEqual([])
  })

  test('import packed files only', () => {
    expect(packed).toContain('examples/service.ts')
    expect(missing('.ts', /\bfrom '(\.[^']*)'/g, (link) => link.replace(/\.js$/, '.ts'))).toEqual([])
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
