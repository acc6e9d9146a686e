import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { isEnded, type JobMove, jobErrorCodes, jobStates, nextState } from 'headgate'
import { describe, expect, test } from 'vitest'
import { toStatus } from '../src/core/status.js'
import { compileQuery } from '../src/ingestion/query.js'

/** The rows of the table under `header`, without their code marks. */
function tableOf(page: string, ...header: string[]): string[][] {
  const lines = readFileSync(join(import.meta.dirname, '../docs', page), 'utf8').split('\n')
  const start = lines.indexOf(`| ${header.join(' | ')} |`) + 2
  const rows = lines.slice(start, lines.indexOf('', start))
  return rows.map((row) =>
    row
      .split(/(?<!\\)\|/)
      .slice(1, -1)
      .map((cell) => cell.trim().replaceAll('\\|', '|')),
  )
}

const bare = (cell = '') => cell.replaceAll('`', '')

test('errors.md has every code, and what it says', () => {
  const rows = tableOf('errors.md', 'code', 'meaning', 'where')
  expect(rows.map(([code, meaning]) => [bare(code), meaning])).toEqual(Object.entries(jobErrorCodes))
})

describe('jobs-and-statuses.md', () => {
  const moves: JobMove[] = ['run', 'abort', 'complete', 'stop', 'fail']

  test('has every move of every state', () => {
    const rows = tableOf('jobs-and-statuses.md', 'from', ...moves)
    const known = jobStates.map((state) => [state, ...moves.map((move) => nextState(state, move) ?? '–')])
    expect(rows.map((row) => row.map(bare))).toEqual(known)
  })

  test('has the sentence of every state', () => {
    const rows = tableOf('jobs-and-statuses.md', 'state', '`infos`')
    const execution = {
      type: 't',
      id: 'i',
      executionId: 'e',
      epoch: 1,
      node: 'n',
      startTime: 0,
      leaseUntil: 0,
      count: 0,
    }
    const known = jobStates.map((state) => [state, toStatus({ ...execution, state }).infos])
    expect(rows.map(([state, sentence]) => [bare(state), sentence])).toEqual(known)
  })

  test('names the ended states as those with an end time', () => {
    const rows = tableOf('jobs-and-statuses.md', 'field', 'in the states', 'what it says')
    const [, states] = rows.find(([field]) => field === '`endTime`') ?? []
    expect(bare(states).split(', ')).toEqual(jobStates.filter(isEnded))
  })
})

test('ingestion.md binds values as queries do', () => {
  const codes = (cell = '') => [...cell.matchAll(/`([^`]*)`/g)].map(([, code = '']) => code)
  const variables = { lastId: '1', lastRecord: ['1', '2'] }
  const rows = tableOf('ingestion.md', 'where the value stands', 'template', 'query')
  const seen = rows.flatMap(([, template, query]) => codes(template).map((code) => [code, codes(query)[0]]))
  for (const [template, query] of seen) {
    const compile = () => compileQuery(`{{#last_id}}{{#last_record}}{{/last_record}}${template}{{/last_id}}`)
    if (query === 'define') expect(compile, template).toThrow('Expected `query` to be a template')
    else expect(compile().render(variables).text, template).toBe(query)
  }
  expect(rows).toHaveLength(8)
})
