import pg from 'pg'

/** How many rows the source has. */
export const rowCount = 1500

/** Reads the source slowly enough to be killed in the middle: about half a second. */
export const copyQuery = `
  select id, name, case when id % 20 = 0 then pg_sleep(0.004)::text end as pause
  from source {{#last_id}}where id > {{last_id}}{{/last_id}} order by id`

/** Reads the source, as jobs do that have a cursor. */
export const wholeQuery = 'select id, name, null::text as pause from source'

/** Makes the table that jobs read. */
export async function fillSource(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query(`create table source as
    select id::bigint as id, repeat('name ' || id, (id % 5 + 1)::int) as name from generate_series(1, ${rowCount}) id`)
  await client.query('alter table source add primary key (id)')
  await client.end()
}

/** The bytes of a file that one run has written which nothing interrupted. */
export const expectedFile = Array.from({ length: rowCount }, (_, index) => {
  const id = index + 1
  const name = `name ${id}`.repeat((id % 5) + 1)
  return `${JSON.stringify({ id: String(id), name, pause: id % 20 === 0 ? '' : null })}\n`
}).join('')
