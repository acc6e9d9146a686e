import { type IngestionJob, JobError, JobRegistry, memoryStorage, type QueryVariables } from 'headgate'
import pg from 'pg'
import { beforeAll, describe, expect, it } from 'vitest'
import { compileQuery } from '../../../src/ingestion/definition/query-template.js'
import { describePostgres } from '../../support/describe-postgres.js'
import { growthOf } from '../../support/linear.js'

const resumed: QueryVariables = {
  lastId: "4'2",
  maxPrimaryKey: '9007199254740993',
  lastRecordTimestamp: '2024-05-06T07:08:09.123Z',
  lastRecord: ['1', null, 'x'],
}

const render = (template: string, variables: QueryVariables = resumed) => compileQuery(template).render(variables)

describe('a query template', () => {
  it('leaves text without variables untouched', () => {
    const text = `select '{}', "a'b" -- it's\nfrom t where x = '$1' /* ' */`
    expect(render(text)).toEqual({ text, values: [] })
  })

  it('keeps a section only when its variable is known', () => {
    const template = 'select * from t {{#last_id}}where id > {{last_id}}{{/last_id}} order by id'
    expect(render(template, {}).text).toBe('select * from t  order by id')
    expect(render(template)).toEqual({ text: 'select * from t where id > $1 order by id', values: ["4'2"] })
  })

  it('keeps an inverted section only when its variable is not known', () => {
    const template = 'select {{^last_id}}1{{/last_id}}{{#last_id}}2{{/last_id}}'
    expect([render(template, {}).text, render(template).text]).toEqual(['select 1', 'select 2'])
  })

  it.each([
    ['{{#last_id}}{{last_id}}{{/last_id}}', '$1'],
    ['{{#last_id}}{{{last_id}}}{{/last_id}}', '$1'],
    ['{{#last_id}}{{&last_id}}{{/last_id}}', '$1'],
    ['{{#last_id}}{{.}}{{/last_id}}', '$1'],
    ["{{#last_id}}'{{last_id}}'{{/last_id}}", '$1'],
    ["{{#last_id}}E'{{last_id}}'{{/last_id}}", '$1'],
    ["{{#last_id}}'a{{last_id}}'{{/last_id}}", "('a' || $1)"],
    ["{{#last_id}}'it''s {{last_id}}%'{{/last_id}}", "('it''s ' || $1 || '%')"],
    ["{{#last_id}}e'\\'{{last_id}}\\n'{{/last_id}}", "(e'\\'' || $1 || e'\\n')"],
    ["{{#last_id}}'{{last_id}}{{last_id}}'{{/last_id}}", "('' || $1 || $2)"],
    ["{{#last_id}}timestamp '{{last_id}}'{{/last_id}}", 'cast($1 as timestamp)'],
    ["{{#last_id}}timestamp with time zone '{{last_id}}'{{/last_id}}", 'cast($1 as timestamp with time zone)'],
    ["{{#last_id}}uuid '{{last_id}}'{{/last_id}}", 'cast($1 as uuid)'],
    ['{{#last_id}}-- {{last_id}}\n{{/last_id}}1', '-- \n1'],
    ['{{#last_id}}/* {{last_id}} */{{/last_id}}1', '/*  */1'],
    ["{{#last_id}}x = '/*' and y = {{last_id}} and z = '*/'{{/last_id}}", "x = '/*' and y = $1 and z = '*/'"],
    ['{{#last_record}}({{.}}){{/last_record}}', '($1)($2)($3)'],
    ['{{#last_record}}{{/last_record}}{{^last_record}}{{/last_record}}1', '1'],
  ])('binds the values of %s', (template, text) => {
    expect(render(template).text).toBe(text)
  })

  it('binds values in the order of their placeholders, past those of comments', () => {
    const template = `{{#last_record}}{{#max_primary_key}}{{max_primary_key}}{{/max_primary_key}} -- {{last_id}}
      {{last_record.2}} {{#last_id}}{{last_id}} /* {{last_id}} /* {{.}} */ */ {{.}}{{/last_id}}{{/last_record}}`
    const { text, values } = render(template)
    expect(text.replaceAll(/\s+/g, ' ')).toBe('$1 -- $2 $3 /* /* */ */ $4')
    expect(values).toEqual(['9007199254740993', 'x', "4'2", "4'2"])
  })

  it.each([
    'where a > {{last_record.1}}',
    "where a::text >= '{{last_record.1}}'",
    'where (a, b) > ({{last_record.1}}, {{last_record.0}})',
    'where (a, b) > ({{last_record.0}}, {{last_record.1}})',
    'where {{last_record.1}}::int < a',
    'where ({{last_record.0}}, {{last_record.1}}) < (a, b)',
    'where ({{last_record.1}}, {{last_record.0}}) < (a, b)',
  ])('does not compare with a null of the last record, which would read nothing: %s', (text) => {
    expect(() => render(`{{#last_record}}${text}{{/last_record}}`)).toThrow('compares with a value of the last record')
  })

  it.each([
    'where a > coalesce({{last_record.1}}, 0)',
    'where a is not distinct from {{last_record.1}}',
    'where {{last_record.1}}::int is null or a > {{last_record.0}}',
    'where (a > {{last_record.0}} or b = f({{last_record.1}}))',
    'where a > 1 {{#last_record.1}}and b > {{last_record.1}}{{/last_record.1}}',
  ])('binds a null of the last record elsewhere: %s', (text) => {
    expect(() => render(`{{#last_record}}${text}{{/last_record}}`)).not.toThrow()
  })

  it('goes through the columns of the last record where a section says {{.}}, and keeps it once where not', () => {
    const once = 'where (a, b) > ({{last_record.0}}, {{last_record.2}})'
    expect(render(`{{#last_record}}${once}{{/last_record}}`)).toEqual({
      text: 'where (a, b) > ($1, $2)',
      values: ['1', 'x'],
    })
    const each = 'where {{#last_record}}{{last_record.0}} = {{.}} or {{/last_record}} false'
    expect(render(each).text).toBe('where $1 = $2 or $3 = $4 or $5 = $6 or  false')
    expect(() => render('{{#last_record}}{{last_record.3}}{{/last_record}}')).toThrow('a last_record of 3 columns')
  })

  it.each([
    [`{{=<% %>=}}<%#last_id%>'{{1,2},{3,4}}'::int[][] <%last_id%><%/last_id%>`, `'{{1,2},{3,4}}'::int[][] $1`],
    ["{{#last_id}}select '{ {1,2},{3,4} }' {{last_id}}{{/last_id}}", "select '{ {1,2},{3,4} }' $1"],
    ['{{#last_id}}/* a /* {{last_id}} */ b */ {{last_id}}{{/last_id}}', '/* a /*  */ b */ $1'],
    ["{{#last_id}}like'{{last_id}}'and{{/last_id}}", 'like $1 and'],
    ["{{#last_id}}date'{{last_id}}'{{/last_id}}", 'cast($1 as date)'],
    ["{{#last_id}}timestamp  with\ttime\nzone '{{last_id}}'{{/last_id}}", 'cast($1 as timestamp  with\ttime\nzone)'],
    ["{{#last_id}}'it\\'s {{last_id}}'{{/last_id}}", "('it\\'s ' || $1)"],
    ["{{#last_id}}replace(a, '\\', '/') > {{last_id}}{{/last_id}}", "replace(a, '\\', '/') > $1"],
    ["{{#last_id}}E'\\\\{{last_id}}'{{/last_id}}", "(E'\\\\' || $1)"],
    ["{{#last_id}}E'a'\n'b\\'c' || {{last_id}}{{/last_id}}", "E'a'\n'b\\'c' || $1"],
    ['{{#last_id}}-- a\r{{last_id}}{{/last_id}}', '-- a\r$1'],
    ["{{#last_id}}$é$ ' $é$ || {{last_id}}{{/last_id}}", "$é$ ' $é$ || $1"],
    ["{{#last_id}}a$b$ > {{last_id}} and 'c$b$'{{/last_id}}", "a$b$ > $1 and 'c$b$'"],
    ['{{#last_id}}U&"\'" > {{last_id}}{{/last_id}}', `U&"'" > $1`],
    ["{{#last_id}}5 */* ' */{{last_id}}{{/last_id}}", "5 */* ' */$1"],
  ])('renders %j', (template, text) => {
    expect(render(template).text).toBe(text)
  })

  it('is compiled in time in proportion to its length', () => {
    const unit = "timestamp '{{#last_id}}{{last_id}}{{/last_id}}'\n, "
    const growth = growthOf(
      (length) => {
        const template = unit.repeat(length / unit.length)
        return () => compileQuery(template).render({ last_id: '1' } as never)
      },
      { length: 500_000, factor: 10 },
    )
    expect(growth).toBeLessThan(3)
  })

  it('takes the placeholders of the datasource', () => {
    const query = compileQuery("{{#last_id}}{{last_id}} '{{last_id}}'{{/last_id}}", () => '?')
    expect(query.render(resumed)).toEqual({ text: '? ?', values: ["4'2", "4'2"] })
  })

  it('knows whether a job can go on from a checkpoint', () => {
    expect(compileQuery('select 1').resumes).toBe(false)
    expect(compileQuery('select 1 {{^last_id}}{{/last_id}}').resumes).toBe(true)
    expect(compileQuery(() => ({ text: 'select 1', values: [] })).resumes).toBe(true)
    expect(compileQuery(undefined).resumes).toBe(false)
  })

  it.each([
    ['{{#last_id}}{{lastid}}{{/last_id}}', '{{lastid}}'],
    ['{{#last_id}}', 'well-formed'],
    ['{{>partial}}', 'partials'],
    ['where id > {{last_id}}', 'only inside {{#last_id}}…{{/last_id}}'],
    ["where id > '{{last_record.0}}'", 'only inside {{#last_record}}…{{/last_record}}'],
    ['{{last_id', 'the {{ in line 1 has no }}; for literal braces, write `{ {`'],
    ['select 1,\n{{{last_id}}', 'the {{ in line 2 has no }}'],
    ['{{#last_id}}{{/last_record}}', '{{#last_id}} is closed by {{/last_record}}'],
    ['{{/last_id}}', '{{/last_id}} closes nothing'],
    ['{{=<%=}}', 'new delimiters are two words'],
    ['{{=<% %>', '{{= has no =}}'],
    ["select '{{1,2},{3,4}}'", 'or begin the template with {{=<% %>=}}'],
    ['{{last_record.name}}', 'last_record.<n>'],
    ['{{last_record.01}}', 'last_record.<n>'],
    ['{{#last_record}}{{last_record.99999999}}{{/last_record}}', 'last_record.<n>'],
    ['{{last_id.length}}', 'a template of the variables'],
    ['{{}}', 'a template of the variables'],
    ['{{.}}', 'only inside a section that is kept'],
    [`${'{{#last_id}}'.repeat(4000)}${'{{/last_id}}'.repeat(4000)}`, 'up to 32 nested sections'],
    ['{{#last_record}}{{#last_record}}{{.}}{{/last_record}}{{/last_record}}', 'inside {{#last_record}}'],
    ['select 1 \0', 'without NUL'],
  ])('refuses %s when the job is defined', (template, reason) => {
    expect(() => compileQuery(template)).toThrow(reason)
    expect(() => compileQuery(template)).toThrow(JobError)
  })

  it.each([
    ['{{#last_id}}"{{last_id}}"{{/last_id}}', 'where SQL takes a value'],
    ["{{#last_id}}b'{{last_id}}'{{/last_id}}", 'where SQL takes a value'],
    ["{{#last_id}}U&'{{last_id}}'{{/last_id}}", 'where SQL takes a value'],
    ['{{#last_id}}$tag$ {{last_id}} $tag$ {{/last_id}}', 'where SQL takes a value'],
    ['{{#last_record}}{{/last_record}}{{#last_id}}{{last_record}}{{/last_id}}', 'last_record.<n>'],
    ['{{#last_id}}limit {{last_id}}0{{/last_id}}', 'a space between a value and what is beside it'],
    ['{{#last_id}}id{{last_id}}{{/last_id}}', 'a space between a value and what is beside it'],
    ['{{#last_record}}{{.}}{{/last_record}}', 'a space between a value and what is beside it'],
    ["{{#last_id}}'{{last_id}}{{/last_id}}", 'quotes and comments are closed'],
    ['{{#last_id}}{{last_id}} /* /* */{{/last_id}}', 'quotes and comments are closed'],
    ["{{#last_id}}'a{{last_id}}'\n'b'{{/last_id}}", 'only in literals on one line'],
    ["{{#last_id}}'a'\n'b{{last_id}}'{{/last_id}}", 'only in literals on one line'],
    ["{{#last_id}}E'\\{{last_id}}'{{/last_id}}", 'without a backslash before a value'],
    ["{{#last_id}}interval '{{last_id}}' day{{/last_id}}", 'the unit of an interval'],
  ])('refuses %s when the job is defined, though its first run could start', (template, reason) => {
    expect(() => compileQuery(template)).toThrow(reason)
  })

  it('checks what a query function gives', () => {
    const bad = compileQuery((() => ({ text: '' })) as unknown as () => { text: string; values: [] })
    expect(() => bad.render({})).toThrow('Expected `query().text` to be a string that is not empty, got `` (string)')
    const cut = compileQuery(() => ({ text: 'select 1 \0 from t', values: [] }))
    expect(() => cut.render({})).toThrow('without NUL')
  })

  it('needs pkField where it asks for the primary key', () => {
    const registry = new JobRegistry({ storage: memoryStorage() })
    const job = { id: 'x', datasource: { kind: 'none', async *read() {} }, target: () => {} } satisfies IngestionJob
    const query = '{{#last_id}}{{last_id}}{{/last_id}}'
    expect(() => registry.define({ ...job, query })).toThrow('Expected `pkField` to be')
    registry.define({ ...job, query, pkField: 'id' })
  })
})

describePostgres('a query template on Postgres', (database) => {
  let select: (template: string) => Promise<unknown>

  beforeAll(() => {
    select = async (template) => {
      const { text, values } = render(template)
      const client = new pg.Client(database.url)
      await client.connect()
      try {
        const { rows } = await client.query({ text, values: [...values], rowMode: 'array' })
        return rows[0]?.[0]
      } finally {
        await client.end()
      }
    }
  })

  it.each([
    ["{{#last_id}}select 'x{{last_id}}y'{{/last_id}}", "x4'2y"],
    ["{{#last_id}}select '{{last_id}}{{last_id}}'{{/last_id}}", "4'24'2"],
    ['{{#max_primary_key}}select 9007199254740993 = {{max_primary_key}}{{/max_primary_key}}', true],
    ["{{#max_primary_key}}select 9007199254740992 < '{{max_primary_key}}'{{/max_primary_key}}", true],
    [
      "{{#last_record_timestamp}}select timestamptz '{{last_record_timestamp}}' = '2024-05-06 07:08:09.123+00'{{/last_record_timestamp}}",
      true,
    ],
    ["{{#last_id}}select E'\\'{{last_id}}'{{/last_id}}", "'4'2"],
    ["{{#last_id}}select $a$ '$a$ || {{last_id}}{{/last_id}}", " '4'2"],
    ["{{#last_id}}select 1 /* ' */ where 'x' <> {{last_id}} -- '{{last_id}}'{{/last_id}}", 1],
  ])('runs %s', async (template, value) => {
    expect(await select(template)).toEqual(value)
  })
})
