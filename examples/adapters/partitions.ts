/** Level 4: partitions. The datasource of level 3, whose queries can be split into ranges of whole numbers. */
import type { Datasource } from 'headgate'
import { JobError, type Partitioning, type PartitionOptions, type Query, type RecordPosition } from 'headgate/adapter'
import type Database from 'libsql'
import { conditionsOf, select, sqliteDatasource } from './cursor.js'

/** Reads an open database, which stays open. SQLite has no snapshots that other connections can read. */
export function partitionedSqliteDatasource(database: Database.Database): Datasource {
  return {
    ...sqliteDatasource(database),
    async partition(query, options) {
      return { bounds: boundsOf(database, query, options), release: async () => {} } satisfies Partitioning
    },
  }
}

/** The values at which the ranges after the first begin, all after the position of the cursor. */
function boundsOf(database: Database.Database, query: Query, { cursor, split }: PartitionOptions): string[] {
  if (typeof split !== 'number') {
    const [after = Number.NEGATIVE_INFINITY] = (cursor.position as RecordPosition | undefined)?.values ?? []
    return split.filter((bound) => Number(bound) > Number(after))
  }
  const { text, values } = select(query, cursor, conditionsOf(cursor))
  const column = `"${cursor.columns[0]}"`
  const extremes = database.prepare(`select min(${column}), max(${column}) from (${text})`).raw(true)
  const [first, last] = extremes.get(...values) as unknown as [number | null, number | null]
  if (first === null || last === null) return []
  if (!Number.isSafeInteger(first) || !Number.isSafeInteger(last)) {
    throw new JobError('datasource', `Expected \`${cursor.columns[0]}\` to hold whole numbers.`)
  }
  const width = Math.max(1, (last - first + 1) / split)
  const starts = Array.from({ length: split - 1 }, (_, n) => Math.round(first + width * (n + 1)))
  return starts.filter((start) => start <= last).map(String)
}
