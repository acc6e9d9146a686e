import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import ts from 'typescript'
import { describe, expect, test } from 'vitest'
import { manifest, packageExports, root } from './support/source.js'

const pages = [join(root, 'README.md'), ...ts.sys.readDirectory(join(root, 'docs'), ['.md'])].map((path) => ({
  path,
  name: relative(root, path),
  text: existsSync(path) ? readFileSync(path, 'utf8') : '',
}))

/** `<!-- file: examples/minimal.ts -->` or `<!-- file: examples/minimal.ts#region -->`, and the code block after it. */
const marked = /^<!-- file: ([^\s#]+)(?:#(\S+))? -->\n(?:\n*```\w+\n([\s\S]*?)^```)?/gm
const codeBlock = /^```[\s\S]*?^```/gm

test('README.md is there', () => {
  expect(existsSync(join(root, 'README.md'))).toBe(true)
})

test('docs/README.md leads to every page', () => {
  const contents = join(root, 'docs/README.md')
  const links = [...readFileSync(contents, 'utf8').matchAll(/\]\(([^)\s#]+)\)/g)].map(([, link = '']) => link)
  const listed = links.map((link) => join(dirname(contents), link))
  const others = pages.filter(({ name, path }) => name.startsWith('docs') && path !== contents)
  expect(others.filter(({ path }) => !listed.includes(path)).map(({ name }) => name)).toEqual([])
})

test.each(['start', 'how-to', 'run', 'understand'])('docs/%s shows only code that runs', (folder) => {
  const guides = pages.filter(({ name }) => name.startsWith(`docs/${folder}/`))
  const codeOf = (text: string) => text.match(/^```ts$/gm)?.length ?? 0
  const markedOf = (text: string) => [...text.matchAll(marked)].filter(([block]) => codeOf(block) === 1).length
  expect(guides.filter(({ text }) => codeOf(text) !== markedOf(text)).map(({ name }) => name)).toEqual([])
})

describe.each(pages)('$name', ({ path, text }) => {
  test('has links that lead somewhere', () => {
    const links = [...text.replace(codeBlock, '').matchAll(/\]\(([^)\s]+)\)/g)].map(([, link = '']) => link)
    expect(links.filter((link) => !isExternal(link) && !leadsSomewhere(path, link))).toEqual([])
  })

  test('names files that there are', () => {
    const files = [...text.matchAll(/`((?:docs|examples|src|test)\/[^`\s]+\.\w+)`/g)].map(([, file = '']) => file)
    expect(files.filter((file) => !existsSync(join(root, file)))).toEqual([])
  })

  test('shows the code of the files that it names', () => {
    for (const [, file = '', region, code] of text.matchAll(marked)) {
      expect(code, `the code block after the marker of ${file}`).toBe(sourceOf(file, region))
    }
  })

  test('imports what the package exports', () => {
    const specifiers = [...text.matchAll(/\bfrom '(headgate[^']*)'/g)].map(([, specifier]) => specifier)
    const known = packageExports.map(({ specifier }) => specifier)
    expect(specifiers.filter((specifier) => !known.includes(specifier ?? ''))).toEqual([])
  })

  test('imports names that the specifier exports', () => {
    const imports = [...text.matchAll(/^import (?:type )?\{([^}]*)\} from '(headgate[^']*)'/gm)]
    const named = imports.flatMap(([, names = '', specifier = '']) =>
      names
        .split(',')
        .map((name) =>
          name
            .trim()
            .replace(/^type /, '')
            .replace(/ as .*/s, ''),
        )
        .filter((name) => name !== '' && !exportedBy(specifier).has(name))
        .map((name) => `${name} of ${specifier}`),
    )
    expect(named).toEqual([])
  })

  test('runs scripts that there are', () => {
    const scripts = [...text.matchAll(/\bnpm (?:run |(?=test\b))([\w:-]+)/g)].map(([, script = '']) => script)
    expect(scripts.filter((script) => !(script in manifest.scripts))).toEqual([])
  })
})

/** The names that a specifier exports, types too. */
function exportedBy(specifier: string): Set<string> {
  const entry = packageExports.find((known) => known.specifier === specifier)?.source ?? ''
  const names = new Set<string>()
  const tree = ts.createSourceFile(entry, readFileSync(join(root, 'src', entry), 'utf8'), ts.ScriptTarget.Latest)
  for (const statement of tree.statements) {
    if (ts.isExportDeclaration(statement) && statement.exportClause && ts.isNamedExports(statement.exportClause))
      for (const { name } of statement.exportClause.elements) names.add(name.text)
    const isExported =
      ts.canHaveModifiers(statement) &&
      ts.getModifiers(statement)?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword)
    const { name } = statement as { name?: ts.Node }
    if (isExported && name && ts.isIdentifier(name)) names.add(name.text)
  }
  return names
}

function isExternal(link: string): boolean {
  return /^[a-z]+:/.test(link)
}

function leadsSomewhere(page: string, link: string): boolean {
  const [file = '', anchor] = link.split('#')
  const target = file === '' ? page : join(dirname(page), file)
  return existsSync(target) && (anchor === undefined || anchorsOf(target).includes(anchor))
}

/** The anchors of a page's headings, made as GitHub makes them. */
function anchorsOf(page: string): string[] {
  const headings = readFileSync(page, 'utf8')
    .replace(codeBlock, '')
    .matchAll(/^#+ (.*)$/gm)
  return [...headings].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replace(/\s/g, '-'),
  )
}

/** A file, or the lines from `// #region <name>` to `// #endregion` in it, moved to the left margin. */
function sourceOf(file: string, region: string | undefined): string {
  const text = readFileSync(join(root, file), 'utf8')
  if (region === undefined) return text
  const lines = text.split('\n')
  const start = lines.findIndex((line) => line.trim() === `// #region ${region}`)
  const end = lines.findIndex((line, index) => index > start && line.trim() === '// #endregion')
  if (start < 0 || end < 0) return `${file} has no region ${region}`
  return unindented(lines.slice(start + 1, end))
}

function unindented(lines: string[]): string {
  const indents = lines.filter((line) => line.trim() !== '').map((line) => line.search(/\S/))
  const margin = Math.min(...indents)
  return lines.map((line) => `${line.slice(margin)}\n`).join('')
}
