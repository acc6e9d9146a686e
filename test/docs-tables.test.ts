import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { isEnded, JobRegistry, jobErrorCodes, jobStates, memoryStorage } from 'headgate'
import { type JobMove, nextState } from 'headgate/adapter'
import { describe, expect, test } from 'vitest'
import { toStatus } from '../src/core/model/status.js'
import { compileQuery } from '../src/ingestion/definition/query-template.js'
import { sources } from './support/source.js'

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
  const rows = tableOf('reference/errors.md', 'code', 'meaning', 'where')
  expect(rows.map(([code, meaning]) => [bare(code), meaning])).toEqual(Object.entries(jobErrorCodes))
})

test('ingestion.md has every field of an ingestion', async () => {
  await using registry = new JobRegistry({ storage: memoryStorage() })
  const define = () => registry.define({ type: 'ingestion', id: 'a', other: 1 } as never)
  let message = ''
  try {
    define()
  } catch (error) {
    message = String(error)
  }
  const [, list = ''] = /Expected `job` to be an object with (.*), got `other`/.exec(message) ?? []
  const known = list.split(', ').map(bare)
  const rows = tableOf('reference/ingestion.md', 'field', 'meaning', 'default')
  expect(known).toContain('schedule')
  expect(rows.map(([field]) => bare(field)).sort()).toEqual(known.sort())
})

describe('reference/jobs.md', () => {
  const moves: JobMove[] = ['run', 'abort', 'complete', 'stop', 'fail']

  test('has every move of every state', () => {
    const rows = tableOf('reference/jobs.md', 'from', ...moves)
    const known = jobStates.map((state) => [state, ...moves.map((move) => nextState(state, move) ?? '–')])
    expect(rows.map((row) => row.map(bare))).toEqual(known)
  })

  test('has the sentence of every state', () => {
    const rows = tableOf('reference/jobs.md', 'state', '`infos`')
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
    const rows = tableOf('reference/jobs.md', 'field', 'in the states', 'what it says')
    const [, states] = rows.find(([field]) => field === '`endTime`') ?? []
    expect(bare(states).split(', ')).toEqual(jobStates.filter(isEnded))
  })
})

test('query-templates.md binds values as queries do', () => {
  const codes = (cell = '') => [...cell.matchAll(/`([^`]*)`/g)].map(([, code = '']) => code)
  const variables = { lastId: '1', lastRecord: ['1', '2'] }
  const rows = tableOf('reference/query-templates.md', 'where the value stands', 'template', 'query')
  const seen = rows.flatMap(([, template, query]) => codes(template).map((code) => [code, codes(query)[0]]))
  for (const [template, query] of seen) {
    const compile = () => compileQuery(`{{#last_id}}{{#last_record}}{{/last_record}}${template}{{/last_id}}`)
    if (query === 'define') expect(compile, template).toThrow('Expected `query` to be a template')
    else expect(compile().render(variables).text, template).toBe(query)
  }
  expect(rows).toHaveLength(8)
})

test('troubleshooting.md has messages that headgate writes', () => {
  const page = readFileSync(join(import.meta.dirname, '../docs/run/troubleshooting.md'), 'utf8')
  const code = sources.map(({ tree }) => tree.text.replaceAll('\\`', '`').replaceAll("\\'", "'")).join('\n')
  const messages = [...page.matchAll(/^\| ``(.*?)`` \|/gm)].map(([, message = '']) => message)
  const pieces = messages.flatMap((message) =>
    message.split(/…|\[…\]/).map((piece) => ({ message, piece: piece.trim().replace(/\.$/, '') })),
  )
  expect(messages.length).toBeGreaterThan(50)
  expect(pieces.filter(({ piece }) => !code.includes(piece))).toEqual([])
})
