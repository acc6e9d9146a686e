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

describe.each(pages)('$name', ({ path, text }) => {
  test('has links that lead somewhere', () => {
    const links = [...text.replace(codeBlock, '').matchAll(/\]\(([^)\s]+)\)/g)].map(([, link = '']) => link)
    expect(links.filter((link) => !isExternal(link) && !leadsSomewhere(path, link))).toEqual([])
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

  test('runs scripts that there are', () => {
    const scripts = [...text.matchAll(/\bnpm (?:run |(?=test\b))([\w:-]+)/g)].map(([, script = '']) => script)
    expect(scripts.filter((script) => !(script in manifest.scripts))).toEqual([])
  })
})

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
