import { describe, expect, test } from 'vitest'
import { bareStatement } from '../../../src/adapters/postgres/keyset/single-statement.js'

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
    ['/* before; */ select 1', '/* before; */ select 1'],
    ['/* a */ /* b */ select 1 /* c */', '/* a */ /* b */ select 1 /* c */'],
    [`${'/* header */\n'.repeat(1000)}select 1;`, `${'/* header */\n'.repeat(1000)}select 1`],
    [`${'/*'.repeat(5000)}${'*/'.repeat(5000)}select 1`, `${'/*'.repeat(5000)}${'*/'.repeat(5000)}select 1`],
    ['select 1 -- a;\r;', 'select 1 -- a;\r'],
    ["select U&'\\0041;', U&\";\", n';', b'0'", "select U&'\\0041;', U&\";\", n';', b'0'"],
    ["select e'a'\n '\\';' ;", "select e'a'\n '\\';' "],
    ["select e'a' -- c\n '\\';' ;", "select e'a' -- c\n '\\';' "],
    ["select e'a' '\\' ;", "select e'a' '\\' "],
    ["select 'it\\'s; x'", "select 'it\\'s; x'"],
    ["select replace(a, '\\', '/');", "select replace(a, '\\', '/')"],
    ['select $é$;$é$, a$b$;', 'select $é$;$é$, a$b$'],
    ['select 5 */* ; */ 2 - -1 //* ; */ 3', 'select 5 */* ; */ 2 - -1 //* ; */ 3'],
  ])('%j', (text, bare) => {
    expect(bareStatement(text)).toBe(bare)
  })

  test.each([
    ['select 1 /* never ends;', 'one statement whose quotes and comments are closed'],
    ["select 'never ends;", 'one statement whose quotes and comments are closed'],
    ['select $a$ never ends; $$', 'one statement whose quotes and comments are closed'],
    ["select 'a\\'; -- ' ;", "a literal with `\\'` is written as E'…'"],
  ])('%j is refused', (text, reason) => {
    expect(() => bareStatement(text)).toThrow(reason)
  })

  test.each([
    ...['select 1; select 2', "select 1; ';'", 'select 1;;drop table events;', ' ', '; select 1', '-- none'],
    ...['select 1; /* a */ select 2 /* b */', 'select 1; /* a /* b */ c */ select 2', 'select 1; -- a\rselect 2'],
    ...['select 1; \u00a0', '/* a */ ; select 1'],
  ])('%j is not one', (text) => {
    expect(() => bareStatement(text)).toThrow('Expected `query` to be one statement, got')
  })
})
