import type { Datasource, JobRecord } from 'headgate'
import {
  type BatchOptions,
  type Column,
  type CountOptions,
  type CursorReadOptions,
  type EncodedRows,
  JobError,
  type Partitioning,
  type PartitionOptions,
  type Query,
  type ReadBatch,
  type ReadCursor,
  type ReadOptions,
  RecordBatch,
  type Row,
} from 'headgate/adapter'
import type { DatasourceFixture } from 'headgate/testing'
import { orderBy } from './expected-reads.js'

/** One way to break the contract each. */
export type DatasourceBug =
  | 'accepts no empty query'
  | 'binds no values'
  | 'binds no values by a cursor'
  | 'calls what comes again new'
  | 'checks nothing'
  | 'holds on after a check'
  | 'ignores the signal of a check'
  | 'compares each column alone'
  | 'counts one too many'
  | 'counts from the beginning'
  | 'estimates nonsense'
  | 'holds on after a count'
  | 'ignores the signal of a count'
  | 'counts nulls in every partition'
  | 'cuts ties at its limit'
  | 'does not look back'
  | 'forgets its range'
  | 'gives encoded rows unasked'
  | 'holds on after an early end'
  | 'holds on after an early end by a cursor'
  | 'ignores a signal by a cursor'
  | 'ignores batchBytes'
  | 'ignores batchBytes by a cursor'
  | 'ignores its limit'
  | 'keeps no snapshot'
  | 'makes bounds of numbers'
  | 'names batches alike'
  | 'never cancels'
  | 'never throws when it is blocked'
  | 'partitions with gaps'
  | 'puts texts in unescaped'
  | 'reads a batch ahead'
  | 'reads all first'
  | 'reads nulls'
  | 'reads by a cursor without the query that it requires'
  | 'repeats the last id'
  | 'replays with a position'
  | 'resumes too late'
  | 'rounds integers'
  | 'rounds positions'
  | 'shares its place'
  | 'skips nulls for first'
  | 'tells columns with the first record'
  | 'tells columns with the first record by a cursor'
  | 'tells no columns of an empty range'
  | 'tells columns for each reader'
  | 'sorts by the first column alone'
  | 'sorts nothing'
  | 'splits nothing'
  | 'takes ties'

/** Where a read by a cursor resumes. */
interface Place {
  after?: { columns: readonly string[]; keys: readonly unknown[] }
  afterNull?: number
}

const columns: readonly Column[] = [
  { name: 'id', type: 'value' },
  { name: 'pair', type: 'value' },
  { name: 'down', type: 'value' },
  { name: 'gap', type: 'value' },
  { name: 'text', type: 'value' },
]

function recordsOf(count: number, from = 1): JobRecord[] {
  const ids = Array.from({ length: Math.max(0, count - from + 1) }, (_, index) => index + from)
  return ids.map((id) => ({ id, pair: Math.ceil(id / 2), down: -id, gap: id % 3 === 0 ? null : id }))
}

/** A datasource that supports everything that the suite knows, over records in memory, and what it is asked; `bug` breaks it. */
export function soundDatasource(bug?: DatasourceBug): DatasourceFixture {
  let held = 0
  let fetched = 0
  let place = 0
  const snapshots = new Set<string>()
  const requiresQuery = bug === 'reads by a cursor without the query that it requires'

  function find({ text, values }: Query, isByCursor = false): JobRecord[] {
    const [first, second] = values.map(Number) as [number, number]
    if (text === '' && requiresQuery && !isByCursor) throw new JobError('invalid_options', 'no query')
    if (text === 'big') return bug === 'rounds integers' ? roundIntegers : bigIntegers
    if (text === 'echo $1') {
      const value = String(values[0])
      return [{ id: 1, text: bug === 'puts texts in unescaped' ? value.split('&')[0] : value }]
    }
    const isUnbound = bug === (isByCursor ? 'binds no values by a cursor' : 'binds no values')
    if (text === 'between $1 and $2') return isUnbound ? recordsOf(20) : recordsOf(second, first)
    return recordsOf(text === '' ? 0 : first)
  }

  async function* read(query: Query, options: ReadOptions): AsyncGenerator<RecordBatch> {
    const { lastId, range, signal } = options
    signal.throwIfAborted()
    if (query.text === '' && bug === 'accepts no empty query') throw new JobError('datasource', 'no query')
    if (bug !== 'tells columns with the first record' || Number(query.values[0]) > 0) options.onColumns?.(columns)
    const last = Number(lastId ?? 0) - (bug === 'repeats the last id' ? 1 : 0)
    const isIn = ({ id }: JobRecord) =>
      Number(id) > last && (bug === 'forgets its range' || isBetween(Number(id), range))
    const records = find(query).filter(isIn)
    let isCancelled = true
    held++
    try {
      if (query.text === 'blocked' && bug === 'never throws when it is blocked') await new Promise(() => undefined)
      if (query.text === 'blocked' || (query.text === 'stalling' && bug === 'reads all first')) await block(signal)
      yield* batchesOf(records, query, options)
      if (query.text === 'stalling') await block(signal)
      if (query.text === 'failing') throw new JobError('datasource', 'failed on demand')
      isCancelled = false
    } finally {
      const isKept =
        (bug === 'never cancels' && query.text === 'blocked') ||
        (bug === 'holds on after an early end' && isCancelled && !signal.aborted && query.text === 'count')
      if (!isKept) held--
    }
  }

  function* batchesOf(
    records: readonly JobRecord[],
    { text }: Pick<Query, 'text'>,
    { batchSize, batchBytes = Number.POSITIVE_INFINITY, signal, encoded }: BatchOptions,
  ): Generator<RecordBatch> {
    const bytes = text === 'wide' && bug !== 'ignores batchBytes' ? 10_000 : 0
    const size = Math.max(1, Math.min(batchSize, Math.floor(batchBytes / bytes)))
    const accepts = encoded?.accepts('memory', columns)
    const isEncoded = accepts || (encoded !== undefined && bug === 'gives encoded rows unasked')
    place = 0
    for (let start = 0; start < records.length; start += size) {
      signal.throwIfAborted()
      if (bug === 'shares its place') start = place
      const rows = records.slice(start, start + size).map((record) => columns.map(({ name }) => record[name]))
      place = start + size
      fetched += bug === 'reads a batch ahead' && start === 0 ? 2 * size : rows.length
      if (rows.length > 0)
        yield isEncoded ? RecordBatch.fromEncoded(columns, encodedRows(rows)) : RecordBatch.fromRows(columns, rows)
    }
    signal.throwIfAborted()
  }

  async function* readByCursor(query: Query, options: CursorReadOptions): AsyncGenerator<ReadBatch> {
    const { signal } = bug === 'ignores a signal by a cursor' ? new AbortController() : options
    signal.throwIfAborted()
    held++
    let isLeft = true
    try {
      const bytes = bug === 'ignores batchBytes by a cursor' ? { batchBytes: Number.POSITIVE_INFINITY } : {}
      yield* readCursor(query, { ...options, ...bytes, signal })
      isLeft = false
    } finally {
      if (!isLeft || signal.aborted || bug !== 'holds on after an early end by a cursor') held--
    }
  }

  function* readCursor(query: Query, options: CursorReadOptions): Generator<ReadBatch> {
    const { cursor } = options
    const { snapshot } = cursor
    if (snapshot !== undefined && !snapshots.has(snapshot)) cursor.onSnapshotLost?.()
    const records = find(query, true).filter((record) =>
      isBetween(Number(record[cursor.columns[0] as string]), cursor.range, record),
    )
    if (tellsByCursor(query, records, cursor)) options.onColumns?.(columns)
    if (cursor.parallel > 1) return yield* readInParallel(records, options)
    const place: Place = { ...(cursor.position as Place | undefined) }
    if (cursor.lookback > 0 && bug !== 'does not look back') yield* repeated(records, options)
    const { nulls } = cursor
    if (nulls === 'first' && bug !== 'skips nulls for first') yield* nullsOf(records, options, place)
    const hasNull = (record: JobRecord) => cursor.columns.some((name) => record[name] === null)
    const known = records.filter((record) => !hasNull(record))
    const hasNulls = known.length < records.length
    if (nulls === 'fail' && hasNulls && bug !== 'reads nulls') throw new JobError('datasource', 'null in a column')
    if (nulls === 'skip' && bug !== 'reads nulls') {
      const counted =
        bug === 'counts nulls in every partition' ? find(query, true).filter(hasNull) : records.filter(hasNull)
      cursor.onNullsSkipped(counted.length)
    }
    yield* inOrder(bug === 'compares each column alone' ? behindEach(known, place) : known, query, options, place)
  }

  function tellsByCursor({ values }: Query, records: readonly JobRecord[], { range }: ReadCursor): boolean {
    if (bug === 'tells columns with the first record by a cursor') return Number(values[0]) > 0
    return bug !== 'tells no columns of an empty range' || range === undefined || records.length > 0
  }

  function* inOrder(
    records: readonly JobRecord[],
    query: Query,
    options: CursorReadOptions,
    place: Place,
  ): Generator<ReadBatch> {
    const { cursor } = options
    const limit = bug === 'ignores its limit' ? Number.POSITIVE_INFINITY : cursor.limit
    const ties = bug === 'takes ties' ? 'drain' : cursor.ties
    const plain = { nulls: 'fail', lookback: 0, onNullsSkipped: () => undefined } as const
    const read = orderBy(records, { ...cursor, ...plain, ties, limit, position: place.after })
    const ordered = read.order.map((index) => records[index] as JobRecord)
    const isUnsorted =
      bug === 'sorts nothing' || (bug === 'sorts by the first column alone' && cursor.columns.length > 1)
    if (isUnsorted) ordered.sort((a, b) => Number(a.id) - Number(b.id))
    if (bug === 'cuts ties at its limit') ordered.splice(limit)
    let count = 0
    for (const batch of batchesOf(ordered, query, options)) {
      count += batch.length
      const after = read.positionAfter(bug === 'resumes too late' ? Math.min(ordered.length, count + 1) : count)
      const keys = after?.keys.map((key) => (bug === 'rounds positions' ? Number(key) : key))
      yield { batch, position: after && { ...place, after: { ...after, keys } } }
    }
    if (read.failure) throw read.failure
  }

  function* repeated(records: readonly JobRecord[], options: CursorReadOptions): Generator<ReadBatch> {
    const { after } = Object(options.cursor.position) as { after?: { keys: readonly [number] } }
    if (!after) return
    const [last] = after.keys
    const again = records.filter(({ id }) => Number(id) >= last - options.cursor.lookback && Number(id) <= last)
    for (const batch of batchesOf(again, { text: '' }, options)) {
      yield bug === 'calls what comes again new'
        ? { batch, position: options.cursor.position }
        : { batch, isReplay: true, ...(bug === 'replays with a position' && { position: options.cursor.position }) }
    }
  }

  /** Those with null in the first column, in the order of the second. */
  function* nullsOf(records: readonly JobRecord[], options: CursorReadOptions, place: Place): Generator<ReadBatch> {
    const [first, second] = options.cursor.columns as [string, string]
    const { afterNull = 0 } = place
    const nulls = records.filter((record) => record[first] === null && Number(record[second]) > afterNull)
    for (const batch of batchesOf(nulls, { text: '' }, options)) {
      place.afterNull = Number(batch.lastValueOf(second))
      yield { batch, position: { ...place } }
    }
  }

  /** The second half first: a position is the list of what was read. */
  function* readInParallel(records: readonly JobRecord[], options: CursorReadOptions): Generator<ReadBatch> {
    const { read = [] } = Object(options.cursor.position) as { read?: number[] }
    const left = records.filter(({ id }) => !read.includes(Number(id)))
    const middle = Math.floor(left.length / 2)
    const seen = [...read]
    for (const half of [left.slice(middle), left.slice(0, middle)]) {
      if (bug === 'tells columns for each reader') options.onColumns?.(columns)
      for (const batch of batchesOf(half, { text: '' }, options)) {
        seen.push(...batch.valuesOf('id').map(Number))
        const reached = records.findIndex(({ id }) => !seen.includes(Number(id)))
        const name = bug === 'names batches alike' ? 'batch' : String(batch.lastValueOf('id'))
        yield {
          batch,
          position: { read: [...seen] },
          parallel: { name, reached: { id: reached < 0 ? records.length : reached } },
        }
      }
    }
  }

  async function partition(query: Query, { cursor, split }: PartitionOptions): Promise<Partitioning> {
    const { after } = Object(cursor.position) as { after?: { keys: readonly [number] } }
    const ids = find(query)
      .map(({ id }) => Number(id))
      .filter((id) => id > (after?.keys[0] ?? 0))
    const snapshot = crypto.randomUUID()
    snapshots.add(snapshot)
    const release = async () => void snapshots.delete(snapshot)
    if (typeof split !== 'number')
      return { bounds: split.filter((bound) => Number(bound) > (after?.keys[0] ?? 0)), snapshot, release }
    const count = Math.min(split, ids.length)
    const starts = Array.from(
      { length: Math.max(0, count - 1) },
      (_, n) => ids[Math.floor(((n + 1) * ids.length) / count)],
    )
    return {
      bounds: bug === 'makes bounds of numbers' ? (starts as unknown as string[]) : starts.map(String),
      snapshot,
      release,
    }
  }

  const isBetween = (value: number, range: ReadCursor['range'], record?: JobRecord): boolean => {
    if (range === undefined || record?.gap === undefined) return isWithin(value, range)
    return bug === 'partitions with gaps' && range.from !== undefined && value === Number(range.from)
      ? false
      : isWithin(value, range)
  }

  /** Whether it can be read. */
  const checkOf = (isUsable: boolean) => async (signal: AbortSignal) => {
    if (bug !== 'ignores the signal of a check') signal.throwIfAborted()
    if (bug === 'holds on after a check' && isUsable) held++
    if (!isUsable && bug !== 'checks nothing') throw new JobError('datasource', 'It is away.')
  }

  async function count(query: Query, { signal, isEstimate, cursor }: CountOptions): Promise<number> {
    if (bug !== 'ignores the signal of a count') signal.throwIfAborted()
    if (bug === 'holds on after a count') held++
    if (isEstimate && bug === 'estimates nonsense') return -0.5
    const { after } = Object(bug === 'counts from the beginning' ? {} : (cursor?.position ?? {})) as Place
    const left = find(query).filter(({ id }) => Number(id) > Number(after?.keys[0] ?? 0)).length
    return bug === 'counts one too many' ? left + 1 : left
  }

  const datasource: Datasource = {
    kind: 'sound',
    check: checkOf(true),
    capabilities: {
      resumesAfterId: true,
      readsRanges: true,
      requiresQuery,
      keepsConsistency: bug === 'keeps no snapshot' ? ['statement'] : ['statement', 'snapshot', 'pages'],
    },
    read,
    readByCursor,
    count,
    ...(bug !== 'splits nothing' && { partition }),
  }
  const query = (text: string) => (count: number) => ({ text, values: [count] })
  return {
    datasource,
    query: query('count'),
    pairs: query('pairs'),
    gaps: query('gaps'),
    wide: query('wide'),
    bigIntegers: { text: 'big', values: [] },
    between: (first, last) => `between ${first} and ${last}`,
    blocked: { text: 'blocked', values: [5] },
    stalling: { text: 'stalling', values: [5] },
    failing: { text: 'failing', values: [5] },
    echo: (value) => `echo ${value}`,
    held: () => held,
    fetched: () => fetched,
    unusable: () => ({ ...datasource, check: checkOf(false) }),
  }
}

const bigIntegers = [{ id: 9007199254740993n }, { id: 9007199254740995n }]
const roundIntegers = bigIntegers.map(({ id }) => ({ id: Number(id) }))

function behindEach(records: readonly JobRecord[], { after }: Place): JobRecord[] {
  const { columns, keys } = after ?? { columns: [], keys: [] }
  const isBehind = (record: JobRecord) => columns.every((name, n) => Number(record[name]) > Number(keys[n]))
  return records.filter((record) => columns.length < 2 || isBehind(record))
}

function isWithin(value: number, { from, until }: NonNullable<ReadCursor['range']> = {}): boolean {
  return (from === undefined || value >= Number(from)) && (until === undefined || value < Number(until))
}

function block(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.throwIfAborted()
    signal.addEventListener('abort', () => reject(signal.reason))
  })
}

function encodedRows(rows: readonly Row[]): EncodedRows {
  const values = (column: number) => rows.map((row) => row[column])
  return {
    format: 'memory',
    length: rows.length,
    chunks: [],
    rows: () => [...rows],
    values,
    lastValue: (column) => values(column).at(-1),
    slice: (start, end) => encodedRows(rows.slice(start, end)),
  }
}
