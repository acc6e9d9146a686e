import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { root } from './support/source.js'

/** The cells of the table under a heading of a page, row by row. */
function tableUnder(heading: string, page: string): string[][] {
  const text = readFileSync(join(root, page), 'utf8')
  const section = text.split(/^## /m).find((part) => part.startsWith(`${heading}\n`)) ?? ''
  const lines = section.split('\n').filter((line) => line.startsWith('|'))
  const rows = lines.map((line) => line.split('|').slice(1, -1))
  return rows.map((row) => row.map((cell) => cell.trim())).filter(([, cell]) => cell !== '---')
}

const [header = [], ...summary] = tableUnder('Side by side', 'docs/compare/comparison.md')
const tools = header.slice(1).map((link) => link.replace(/^\[(.*)\]\(.*$/, '$1'))

test('docs/compare/comparison.md compares headgate with other tools side by side', () => {
  expect(tools).toEqual(['headgate', 'psql', 'pgloader', 'Airbyte', 'dlt', 'Logstash JDBC', 'pg-boss with a copy loop'])
  expect(summary.length).toBeGreaterThan(0)
})

describe.each(tools)('docs/compare/comparison.md on %s', (tool) => {
  const [, ...rows] = tableUnder(tool, 'docs/compare/comparison.md')

  test('says what the table says', () => {
    const column = 1 + tools.indexOf(tool)
    expect(rows.map(([row, short]) => [row, short])).toEqual(summary.map((cells) => [cells[0], cells[column]]))
  })

  test('names what shows each of its claims', () => {
    const sources = rows.map(([row, , , source = '']) => ({ row, source }))
    if (tool !== 'headgate') {
      expect(sources.filter(({ source }) => !source.includes('](https://'))).toEqual([])
      return
    }
    for (const { row, source } of sources) {
      const files = [...source.matchAll(/`([^`]*)`/g)].map(([, file = '']) => file)
      expect(files, row).not.toEqual([])
      expect(files.filter((file) => !file.endsWith('.test.ts') || !existsSync(join(root, file)))).toEqual([])
    }
  })
})
