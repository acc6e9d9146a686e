import { describe, expect, test } from 'vitest'
import { bareStatement } from '../../src/datasource/_postgres-statement.js'

describe('a statement in another one', () => {
  test.each([
    ['select 1', 'select 1'],
    ['select 1;', 'select 1'],
    ['select 1 ; ;\n', 'select 1 '],
    ['select 1; -- done;\n', 'select 1'],
    ['select 1; /* done; */', 'select 1'],
    ['select 1 -- not; yet', 'select 1 -- not; yet'],
    ['select 1 /* not; /* nor; */ yet; */;', 'select 1 /* not; /* nor; */ yet; */'],
    ["select ';', 'it''s;';", "select ';', 'it''s;'"],
    ["select e'\\';';", "select e'\\';'"],
    [`select 1 as "a;b";`, `select 1 as "a;b"`],
    [`select 1 as "a""b;";`, `select 1 as "a""b;"`],
    ['select $$;$$, $a$ ; $$ ; $a$;', 'select $$;$$, $a$ ; $$ ; $a$'],
    ['select $1;', 'select $1'],
    ['select 1 /* never ends;', 'select 1 /* never ends;'],
    ['/* before; */ select 1', '/* before; */ select 1'],
  ])('%j', (text, bare) => {
    expect(bareStatement(text)).toBe(bare)
  })

  test.each(['select 1; select 2', "select 1; ';'", 'select 1;;drop table events;', ' ', '; select 1', '-- none'])(
    '%j is not one',
    (text) => {
      expect(() => bareStatement(text)).toThrow('Expected `query` to be one statement, got')
    },
  )
})
