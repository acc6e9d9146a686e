import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { bareStatement } from '../../../src/adapters/postgres/keyset/single-statement.js'
import { describePostgres } from '../../support/describe-postgres.js'

const pieces = [
  ...[
    "'a'",
    "'it''s'",
    "'\\'",
    "'a\\'b'",
    "e'\\''",
    "E'a'",
    "\n'b\\'",
    "\n'c'",
    "U&'\\0041'",
    "n';'",
    "x'0f'",
    "'\\\\'",
  ],
  ...['--x\n', "--'\n", "/* ' */", '/*/* */*/', '*/', '$$', '$a$', "$a$'$a$", 'a$b$', '"a;"', ' as "x""y"', "'", '"'],
  ...[' ', '\n', '\r', ',', '||', ';', '1', '- -1', '::text'],
]

function randomOf(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}

/** A text that the server often takes. */
function textOf(random: () => number): string {
  const length = 1 + Math.floor(random() * 7)
  return `select ${Array.from({ length }, () => pieces[Math.floor(random() * pieces.length)]).join('')}`
}

describePostgres('the server and the scanner', (database) => {
  let client: pg.Client
  beforeAll(async () => {
    client = new pg.Client(database.url)
    await client.connect()
    await client.query('set escape_string_warning to off')
  })
  afterAll(() => client.end())

  /** Whether the server takes a text as one statement. */
  const isTaken = (text: string) =>
    client.query({ text, values: [], queryMode: 'extended' } as pg.QueryConfig).then(
      () => true,
      () => false,
    )

  test.each(['on', 'off'])('take the same for one statement, with standard_conforming_strings %s', async (setting) => {
    await client.query(`set standard_conforming_strings to ${setting}`)
    let taken = 0
    for (let seed = 1; seed <= 1500; seed++) {
      const text = textOf(randomOf(seed))
      let bare: string
      try {
        bare = bareStatement(text)
      } catch (error) {
        // Where literals end is then a matter of the setting.
        if (String(error).includes("written as E'…'")) continue
        expect(await isTaken(text), `seed ${seed}: ${JSON.stringify(text)}`).toBe(false)
        continue
      }
      const isOne = await isTaken(text)
      if (isOne) taken++
      expect(await isTaken(`select count(*) from (\n${bare}\n) q`), `seed ${seed}: ${JSON.stringify(text)}`).toBe(isOne)
    }
    expect(taken).toBeGreaterThan(100)
  })
})
