import fc from 'fast-check'

/** The types of columns, and values of each as Postgres reads them. */
const valuesOf: Record<string, fc.Arbitrary<string>> = {
  int4: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }).map(String),
  int8: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String),
  text: fc.oneof(
    fc.string({ unit: 'binary', maxLength: 20 }).map((text) => text.replaceAll('\0', '')),
    fc.constantFrom('', '\\N', '\\.', '\\', '\t', '\r\n', '"', "'", '{', ',', '\u2028', '💧', 'constructor'),
  ),
  boolean: fc.boolean().map(String),
  jsonb: fc.json({ noUnicodeString: true, maxDepth: 2 }).map((json) => json.replaceAll('\\u0000', '')),
  float8: fc.oneof(fc.constantFrom('NaN', 'Infinity', '-0', '1e-300'), fc.double({ noNaN: true }).map(String)),
  numeric: fc.oneof(
    fc.constantFrom('NaN', '0.10', '-1e100'),
    fc.bigInt().map((digits) => `${digits}.50`),
  ),
  timestamptz: fc.constantFrom(
    'infinity',
    '0044-03-15 00:00+00 BC',
    '2024-01-01 00:00:00.123456+05:30',
    '99999-01-01Z',
  ),
  bytea: fc.uint8Array({ maxLength: 30 }).map((bytes) => `\\x${Buffer.from(bytes).toString('hex')}`),
  'text[]': fc.constantFrom('{}', '{a,NULL,"b c"}', '{{1,2},{3,4}}', '{"\\"","\\\\"}'),
  'numeric(6,2)': fc.integer({ min: -9999, max: 9999 }).map(String),
  int4range: fc.constantFrom('empty', '[1,5)', '(,3]'),
}

/** Types whose JSON can be told without headgate. */
const typesInFiles = ['int4', 'int8', 'text', 'boolean']

const column = (types: readonly string[]) =>
  fc.constantFrom(...types).chain((type) =>
    fc.record({
      type: fc.constant(type),
      values: fc.array(fc.option(valuesOf[type] as fc.Arbitrary<string>, { freq: 5 }), { minLength: 1, maxLength: 8 }),
    }),
  )

const fault = fc.record({
  what: fc.constantFrom('terminate', 'cancel', 'abort', 'close', 'lock', 'kill'),
  after: fc.integer({ min: 0, max: 250 }),
})

const write = fc.record({
  kind: fc.constantFrom('append', 'upsert', 'rows', 'rename', 'file', 'new file'),
  connections: fc.constantFrom(1, 2),
  createTable: fc.boolean(),
  transform: fc.constantFrom('none', 'records', 'batches'),
  isTolerant: fc.boolean(),
})

const read = fc.record({
  way: fc.constantFrom('cursor', 'template', 'whole'),
  isByTime: fc.boolean(),
  consistency: fc.constantFrom('statement', 'snapshot', 'pages'),
  parallel: fc.constantFrom(1, 1, 2, 3),
  partitions: fc.constantFrom(1, 1, 2, 3),
  records: fc.option(fc.integer({ min: 10, max: 100 }), { freq: 1 }),
  batchSize: fc.constantFrom(1, 7, 50, 1000),
  batchBytes: fc.constantFrom(1, 500, 1 << 24),
})

/** What is written, and columns that such a target takes. */
const target = write.chain((write) =>
  fc.record({
    write: fc.constant(write),
    columns: fc.array(column(isFile(write.kind) ? typesInFiles : Object.keys(valuesOf)), {
      minLength: 1,
      maxLength: 5,
    }),
  }),
)

/** A round: a table, a job that copies it, what happens to the job, and what changes in the table between its runs. */
const round = fc.record({
  storage: fc.constantFrom('memory', 'sqlite', 'postgres'),
  target,
  read,
  rows: fc.integer({ min: 0, max: 300 }),
  rate: fc.integer({ min: 1000, max: 20_000 }),
  resume: fc.constantFrom('manual', 'auto'),
  faults: fc.array(fc.option(fault, { freq: 3 }), { minLength: 1, maxLength: 4 }),
  changes: fc.array(fc.record({ added: fc.integer({ min: 0, max: 40 }), changed: fc.integer({ min: 0, max: 5 }) }), {
    maxLength: 3,
  }),
})

const plan = round.map(({ target: { write, columns }, ...rest }) => sensible({ ...rest, write, columns }))

/** The plan, without what could not work: nothing is expected of that but an error. */
function sensible<Drawn extends Draft>(drawn: Drawn): Drawn {
  const { write, read } = drawn
  // Without a place to go on from, a run that appends doubles what an interrupted one has left.
  const appends = write.kind === 'append' || write.kind === 'file'
  const way = appends && read.way === 'whole' ? 'template' : read.way
  // Objects have no types to make a table of.
  const createTable = write.createTable && write.transform === 'none'
  const partitions = read.parallel > 1 ? 1 : read.partitions
  const records = isReplace(write.kind) || way === 'whole' || partitions > 1 ? null : read.records
  return { ...drawn, read: { ...read, way, partitions, records }, write: { ...write, createTable } }
}

interface Draft {
  readonly write: { readonly kind: string; readonly createTable: boolean; readonly transform: string }
  readonly read: {
    readonly way: string
    readonly records: number | null
    readonly parallel: number
    readonly partitions: number
  }
}

/** Whether a run puts its records in the place of all others. */
export function isReplace(kind: string): boolean {
  return kind === 'rows' || kind === 'rename' || kind === 'new file'
}

export type Plan = typeof plan extends fc.Arbitrary<infer Value> ? Value : never
export type Fault = NonNullable<Plan['faults'][number]>

/** Whether a round writes to a file. */
export function isFile(kind: string): boolean {
  return kind.endsWith('file')
}

/** Whether a run of the job finds rows that were changed. */
export function seesChanges({ read, write }: Plan): boolean {
  return isReplace(write.kind) || (write.kind === 'upsert' && read.way !== 'template')
}

/** The plan of a seed: always the same one. */
export function planOf(seed: number): Plan {
  const [drawn] = fc.sample(plan, { seed, numRuns: 1 })
  return drawn as Plan
}
