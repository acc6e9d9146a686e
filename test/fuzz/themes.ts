import type { Fault, Plan } from './plan.js'

type Draft = Omit<Plan, 'theme'>
type Theme = (plan: Draft) => Draft

const cursor =
  (read: Partial<Plan['read']>, source: Partial<Plan['source']> = {}): Theme =>
  (plan) => ({
    ...plan,
    source: { ...plan.source, ...source },
    read: { ...plan.read, way: 'cursor', ...read },
  })

const writing =
  (write: Partial<Plan['write']>): Theme =>
  (plan) => ({ ...plan, write: { ...plan.write, ...write } })

const failing =
  (poison: Plan['failures']['poison'], budget: Plan['failures']['budget']): Theme =>
  (plan) => ({
    ...plan,
    failures: { poison, budget, every: 11 },
    write: {
      ...plan.write,
      kind: plan.write.kind === 'file' || plan.write.kind === 'new file' ? 'append' : plan.write.kind,
      createTable: false,
      transform: poison === 'transform' && plan.write.transform === 'none' ? 'same' : plan.write.transform,
    },
  })

/** A target that keeps what it has from run to run, of which something is lost. */
const losing =
  (what: Plan['steps'][number]['what'], ifTargetReset: Plan['ifTargetReset'], createTable = false): Theme =>
  (plan) => ({
    ...plan,
    ifTargetReset,
    resume: plan.resume === 'restart' ? 'auto' : plan.resume,
    read: { ...plan.read, way: plan.read.way === 'whole' ? 'cursor' : plan.read.way },
    write: {
      ...plan.write,
      createTable,
      kind: plan.write.kind === 'rows' || plan.write.kind === 'rename' ? 'append' : plan.write.kind,
    },
    steps: [{ what, isMidway: false, added: 20, changed: 3, deleted: 3 }, ...plan.steps],
  })

/** What each round has at least. The rounds go through them in turn, so that each is met in every run of some minutes. */
const themes: Readonly<Record<string, Theme>> = {
  anything: (plan) => plan,
  'ties drained': cursor({ by: 'tie', ties: 'drain' }),
  'ties refused': cursor({ by: 'tie', ties: 'refuse' }),
  'nulls first': cursor({ by: 'time', nulls: 'first', partitions: 1 }, { hasNulls: true }),
  'nulls skipped': cursor({ by: 'time', nulls: 'skip' }, { hasNulls: true }),
  'nulls refused': cursor({ by: 'time', nulls: 'fail' }, { hasNulls: true }),
  ...Object.fromEntries(
    (['int4', 'int8', 'numeric', 'bytes', 'words', 'time', 'uuid', 'pair'] as const).map((key) => [
      `key ${key}`,
      (plan: Draft) => ({ ...plan, source: { ...plan.source, key } }),
    ]),
  ),
  lookback: (plan) =>
    cursor({ by: 'time', looksBack: true, partitions: 1 }, { hasNulls: false })(writing({ kind: 'upsert' })(plan)),
  restart: (plan) => ({ ...plan, resume: 'restart' }),
  'truncate, fail': losing('truncate', 'fail'),
  'truncate, restart': losing('truncate', 'restart'),
  'truncate, continue': losing('truncate', 'continue'),
  'remake, fail': losing('remake', 'fail'),
  'remake, restart': losing('remake', 'restart'),
  'remake, continue': losing('remake', 'continue'),
  'forget, fail': losing('forget', 'fail'),
  'forget, restart': losing('forget', 'restart'),
  'forget, continue': losing('forget', 'continue'),
  drop: losing('drop', 'fail', true),
  'lost storage': losing('lose', 'fail'),
  'all lost': losing('lose all', 'fail'),
  'lost storage midway': (plan) => ({
    ...losing('lose', 'fail')(plan),
    steps: [{ what: 'lose', isMidway: true, added: 200, changed: 3, deleted: 3 }],
    faults: [null, { what: 'terminate', after: 60 }],
  }),
  'truncate midway': (plan) => ({
    ...losing('truncate', 'restart')(plan),
    steps: [{ what: 'truncate', isMidway: true, added: 200, changed: 3, deleted: 3 }],
    faults: [null, { what: 'abort', after: 60 }],
  }),
  'replace, losses midway': (plan) => ({
    ...cursor({ batchSize: 7 })(writing({ kind: 'rows' })(plan)),
    resume: 'auto',
    rate: 1000,
    steps: (['forget', 'truncate', 'remake', 'lose all'] as const).map((what) => ({
      ...{ what, isMidway: true, added: 20, changed: 3, deleted: 3 },
    })),
    faults: ['terminate', 'abort', 'cancel', 'kill', 'terminate'].map((what) => ({ what, after: 60 }) as Fault),
  }),
  'target restored': (plan) => ({
    ...losing('nothing', 'fail')(plan),
    steps: (['nothing', 'rewind'] as const).map((what) => ({
      ...{ what, isMidway: true, added: 100, changed: 3, deleted: 3 },
    })),
  }),
  'storage restored': (plan) => ({
    ...losing('nothing', 'fail')(plan),
    storage: 'sqlite',
    steps: (['nothing', 'restore'] as const).map((what) => ({
      ...{ what, isMidway: true, added: 100, changed: 3, deleted: 3 },
    })),
  }),
  'alter between runs': losing('alter', 'fail'),
  'alter between pages': (plan) => ({
    ...cursor({ consistency: 'pages', batchSize: 7 })(writing({ kind: 'append', createTable: false })(plan)),
    faults: [{ what: 'alter', after: 60 }, ...plan.faults],
  }),
  'poison in the transform': failing('transform', 'all'),
  'poison by a check': failing('check', 'all'),
  'poison by a type': failing('type', 'all'),
  'poison by a foreign key': failing('foreign', 'all'),
  'too much poison': failing('check', 'few'),
  'no budget': failing('check', 'zero'),
  changed: writing({ transform: 'changed', createTable: false }),
  dropped: writing({ transform: 'dropped', createTable: false }),
  doubled: writing({ transform: 'doubled', createTable: false }),
  sparse: writing({ transform: 'sparse', createTable: false, kind: 'upsert' }),
  'own columns': writing({ kind: 'upsert', createTable: false, hasOwnColumns: true }),
  'parallel and limited': (plan) => ({
    ...cursor({ parallel: 2, records: 30, by: 'time' })(writing({ kind: 'append' })(plan)),
    resume: 'auto',
  }),
  partitions: cursor({ partitions: 3, parallel: 1, by: 'time' }),
}

export const themeNames = Object.keys(themes)

/** The theme of a seed. */
export function themeOf(seed: number): (plan: Draft) => Plan {
  const theme = themeNames[seed % themeNames.length] as string
  return (plan) => ({ theme, ...(themes[theme] as Theme)(plan) })
}
