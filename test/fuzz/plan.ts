import fc from 'fast-check'
import { sensible } from './sensible.js'
import { themeOf } from './themes.js'
import { type KeyKind, keys, typesInFiles, valuesOf } from './values.js'

/** A round: a table, a job that copies it, what happens to the job, and what happens to the tables between its runs. */
export interface Plan {
  /** What the round is about at least: see `themes.ts`. */
  readonly theme: string
  readonly storage: 'memory' | 'sqlite' | 'postgres'
  readonly source: Source
  readonly read: Read
  readonly write: Write
  readonly failures: Failures
  /** The most records that are written per second. */
  readonly rate: number
  readonly resume: 'manual' | 'auto' | 'restart'
  readonly ifTargetReset: 'fail' | 'restart' | 'continue'
  /** What strikes the first runs, one fault each. */
  readonly faults: readonly (Fault | null)[]
  /** What happens between runs. */
  readonly steps: readonly Step[]
}

export interface Source {
  readonly key: KeyKind
  /** How many rows there are in the beginning. */
  readonly rows: number
  /** Columns of random types, and the values that rows have in turn. */
  readonly columns: readonly { readonly type: string; readonly values: readonly (string | null)[] }[]
  /** Whether every fourth row has no `changed_at`. */
  readonly hasNulls: boolean
}

export interface Read {
  /** By a `cursor`, by a template with `last_id`, or everything in every run. */
  readonly way: 'cursor' | 'template' | 'whole'
  /** The cursor: the key, `changed_at` and the key, or `tie`, which five rows have in common. */
  readonly by: 'key' | 'time' | 'tie'
  readonly ties: 'refuse' | 'drain'
  readonly nulls: 'fail' | 'skip' | 'first'
  /** Whether a cursor looks back, further than there are rows. */
  readonly looksBack: boolean
  readonly consistency: 'statement' | 'snapshot' | 'pages'
  readonly parallel: number
  readonly partitions: number
  readonly records: number | null
  readonly batchSize: number
  readonly batchBytes: number
}

export interface Write {
  /** A table that is appended to, merged, or replaced in one of two ways; a file that is appended to or replaced. */
  readonly kind: 'append' | 'upsert' | 'rows' | 'rename' | 'file' | 'new file'
  readonly connections: 1 | 2
  readonly createTable: boolean
  /** Whether the target has identity, generated and other columns of its own. */
  readonly hasOwnColumns: boolean
  /** `same` and `batches` leave records as they are; the others change, leave out, double them, or leave a column out. */
  readonly transform: 'none' | 'same' | 'batches' | 'changed' | 'dropped' | 'doubled' | 'sparse'
}

export interface Failures {
  /** What refuses every `every`th row: a transform, a check, a type or a foreign key of the target. */
  readonly poison: 'none' | 'transform' | 'check' | 'type' | 'foreign'
  readonly every: number
  /** How many may fail: none, as there is no policy; 0 by a policy; 2; or all. */
  readonly budget: 'absent' | 'zero' | 'few' | 'all'
}

export interface Fault {
  readonly what: 'terminate' | 'cancel' | 'abort' | 'close' | 'lock' | 'kill' | 'alter'
  /** How long after the start, in milliseconds. */
  readonly after: number
}

const happenings = [
  ...(['nothing', 'truncate', 'drop', 'remake', 'forget', 'lose', 'lose all'] as const),
  ...(['rewind', 'restore', 'alter'] as const),
]

export interface Step {
  /**
   * - `truncate`: the target is emptied. `drop`: it is gone. `remake`: another table with the same rows takes its place.
   * - `forget`: the target's checkpoint is gone. `lose`: the storage is gone. `lose all`: both.
   * - `rewind`: target, checkpoint and dead letters are put back as they were when the job was done first. `restore`: the storage is.
   * - `alter`: source and target get one more column, and a column of the source a wider type.
   */
  readonly what: (typeof happenings)[number]
  /** Whether a run is struck before it happens, so that it meets an execution that was interrupted. */
  readonly isMidway: boolean
  /** How many rows of the source are added, changed and deleted before. */
  readonly added: number
  readonly changed: number
  readonly deleted: number
}

const column = (types: readonly string[]) =>
  fc.constantFrom(...types).chain((type) =>
    fc.record({
      type: fc.constant(type),
      values: fc.array(fc.option(valuesOf[type] as fc.Arbitrary<string>, { freq: 5 }), { minLength: 1, maxLength: 8 }),
    }),
  )

const fault: fc.Arbitrary<Fault> = fc.record({
  what: fc.constantFrom('terminate', 'cancel', 'abort', 'close', 'lock', 'kill', 'alter'),
  after: fc.integer({ min: 0, max: 250 }),
})

const step: fc.Arbitrary<Step> = fc.record({
  what: fc.constantFrom(...happenings),
  isMidway: fc.boolean(),
  added: fc.integer({ min: 0, max: 40 }),
  changed: fc.integer({ min: 0, max: 5 }),
  deleted: fc.integer({ min: 0, max: 5 }),
})

const write: fc.Arbitrary<Write> = fc.record({
  kind: fc.constantFrom('append', 'append', 'upsert', 'upsert', 'rows', 'rename', 'file', 'new file'),
  connections: fc.constantFrom(1, 2),
  createTable: fc.boolean(),
  hasOwnColumns: fc.boolean(),
  transform: fc.constantFrom('none', 'none', 'same', 'batches', 'changed', 'dropped', 'doubled', 'sparse'),
})

const read: fc.Arbitrary<Read> = fc.record({
  way: fc.constantFrom('cursor', 'cursor', 'template', 'whole'),
  by: fc.constantFrom('key', 'time', 'time', 'tie'),
  ties: fc.constantFrom('refuse', 'drain'),
  nulls: fc.constantFrom('fail', 'skip', 'first'),
  looksBack: fc.boolean(),
  consistency: fc.constantFrom('statement', 'snapshot', 'pages'),
  parallel: fc.constantFrom(1, 1, 2, 3),
  partitions: fc.constantFrom(1, 1, 2, 3),
  records: fc.option(fc.integer({ min: 10, max: 100 }), { freq: 1 }),
  batchSize: fc.constantFrom(1, 7, 50, 1000),
  batchBytes: fc.constantFrom(1, 500, 1 << 24),
})

const source = (types: readonly string[]): fc.Arbitrary<Source> =>
  fc.record({
    key: fc.constantFrom(...(Object.keys(keys) as KeyKind[])),
    rows: fc.integer({ min: 0, max: 300 }),
    columns: fc.array(column(types), { minLength: 1, maxLength: 5 }),
    hasNulls: fc.boolean(),
  })

const drawn: fc.Arbitrary<Omit<Plan, 'theme'>> = fc.record({
  storage: fc.constantFrom('memory', 'sqlite', 'postgres'),
  source: source(typesInFiles),
  read,
  write,
  failures: fc.record({
    poison: fc.constantFrom('none', 'none', 'transform', 'check', 'type', 'foreign'),
    every: fc.constantFrom(3, 11, 40),
    budget: fc.constantFrom('absent', 'zero', 'few', 'all', 'all'),
  }),
  rate: fc.integer({ min: 1000, max: 20_000 }),
  resume: fc.constantFrom('manual', 'auto', 'auto', 'restart'),
  ifTargetReset: fc.constantFrom('fail', 'restart', 'continue'),
  faults: fc.array(fc.option(fault, { freq: 3 }), { minLength: 1, maxLength: 4 }),
  steps: fc.array(step, { maxLength: 3 }),
})

/** Into a table go columns of all types; into a file those whose JSON can be told. */
const plan = fc.tuple(drawn, source(Object.keys(valuesOf)))

/** The plan of a seed: always the same one. Seeds that follow one another have all themes in turn. */
export function planOf(seed: number): Plan {
  const [[drawn, forTables]] = fc.sample(plan, { seed, numRuns: 1 }) as [[Omit<Plan, 'theme'>, Source]]
  const themed = themeOf(seed)(drawn)
  return sensible(
    isFile(themed.write.kind) ? themed : { ...themed, source: { ...themed.source, columns: forTables.columns } },
  )
}

/** Whether a run puts its records in the place of all others. */
export function isReplace(kind: string): boolean {
  return kind === 'rows' || kind === 'rename' || kind === 'new file'
}

/** Whether a round writes to a file. */
export function isFile(kind: string): boolean {
  return kind.endsWith('file')
}

/** Whether every run reads everything that there is: then one that is successful is the last. */
export function readsAll({ read, write, resume }: Plan): boolean {
  return isReplace(write.kind) || read.way === 'whole' || resume === 'restart' || read.looksBack
}

/** Whether a run of the job finds rows that were changed. */
export function seesChanges(plan: Plan): boolean {
  if (isReplace(plan.write.kind)) return true
  return plan.write.kind === 'upsert' && (readsAll(plan) || (plan.read.way === 'cursor' && plan.read.by === 'time'))
}
