/**
 * The cities of the world in a search index, and a map drawn of what the index holds:
 *
 *     npm run search-map                               on an OpenSearch of its own, which needs Java and Maven
 *     npm run search-map -- http://localhost:9200      on yours: it makes the indexes `cities` and `cities_search`
 *
 * It starts a Postgres of its own, loads the cities, fills an index, follows what changes, replaces all of it behind an alias, and reads the
 * index again. The map is `search-map.svg`, or the file after the address. With a country such as `FR` after that, it takes only its cities.
 */
import { writeFile } from 'node:fs/promises'
import { JobRegistry, memoryStorage } from 'headgate'
import { elasticsearchDatasource, elasticsearchTarget } from 'headgate/elasticsearch'
import { postgresDatasource } from 'headgate/postgres'
import pg from 'pg'
import { startOpensearch } from '../../test/support/opensearch.js'
import { startPostgres } from '../../test/support/postgres.js'
import { loadCities } from '../quickstart/cities.js'
import { WorldMap } from './world-map.js'

const [given, path = 'search-map.svg', country] = process.argv.slice(2)
const postgres = await startPostgres()
const own = given ? undefined : await startOpensearch()
const node = given ?? (own?.url as string)
const pool = new pg.Pool({ connectionString: postgres.url })
const registry = new JobRegistry({
  storage: memoryStorage(),
  datasources: {
    postgres: postgresDatasource({ pool }),
    search: elasticsearchDatasource({ node, index: 'cities_search' }),
  },
})

try {
  await loadCities(postgres.url)
  if (country) await pool.query('delete from cities where country <> $1', [country])
  await pool.query(`
    alter table cities add updated_at timestamptz not null default now();
    create index on cities (updated_at, id);
    update cities set latitude = 451.5 where name = 'Bordeaux'`)
  await send('DELETE', '/cities')
  await fill()
  await follow()
  await replace()
  await draw()
} finally {
  await registry.close()
  await pool.end()
  await Promise.all([postgres.stop(), own?.stop()])
}

async function run(id: string) {
  const { finished } = await registry.start('ingestion', id)
  const { state, detail } = await finished
  console.log(
    `${id} ${state}: ${detail?.written} written, ${detail?.failed} failed, ${detail?.rowsPerSecond} rows per second`,
  )
}

async function send(method: string, at: string) {
  const answer = await fetch(`${node}${at}`, { method })
  return (await answer.json()) as { hits?: { total: { value: number } } }
}

/** One city has no valid place: it becomes a dead letter, and all others are written. */
async function fill() {
  registry.define({
    id: 'cities',
    datasource: 'postgres',
    query: `select id, name, country, population, updated_at,
      json_build_object('lat', latitude, 'lon', longitude) as location from cities`,
    cursor: ['updated_at', 'id'],
    target: elasticsearchTarget({
      node,
      index: 'cities',
      id: 'id',
      mappings: {
        properties: { location: { type: 'geo_point' }, name: { type: 'text' }, country: { type: 'keyword' } },
      },
    }),
    failures: {
      total: 10,
      deadLetters: (batch) => {
        for (const { record, error } of batch.records()) console.log('dead letter:', record.name, error.at(-1))
      },
    },
  })
  await run('cities')
}

/** Only what has changed is written. */
async function follow() {
  await pool.query(`
    update cities set latitude = 44.84, updated_at = clock_timestamp() where name = 'Bordeaux';
    update cities set population = population + 1, updated_at = clock_timestamp() where country = 'FR' and population > 100000`)
  await run('cities')
  const { hits } = await send('GET', '/cities/_search?q=name:bordeaux&track_total_hits=true')
  console.log(`${hits?.total.value} found for "bordeaux"`)
}

/** A new index takes the place of the old one behind the alias `cities_search`. */
async function replace() {
  registry.define({
    id: 'reload',
    datasource: 'postgres',
    query: 'select id, name, country, population, longitude, latitude from cities',
    target: elasticsearchTarget({ node, index: 'cities_search', id: 'id', strategy: 'replace' }),
  })
  await run('reload')
}

/** Draws what the index holds. */
async function draw() {
  const map = new WorldMap()
  registry.define({
    id: 'map',
    datasource: 'search',
    query: '{"_source": ["longitude", "latitude", "population"]}',
    target: (batch) => {
      for (const { longitude, latitude, population } of batch.records())
        map.add(Number(longitude), Number(latitude), Number(population))
    },
  })
  await run('map')
  await writeFile(path, map.svg())
  console.log(`The map of ${map.count} cities is in ${path}.`)
}
