import { isFile, isReplace, type Plan, readsAll, type Step } from './plan.js'
import { keys } from './values.js'

/**
 * The plan without what the docs refuse, as nothing is expected of that but an error, and without that of which the docs do not
 * say how it ends. Each line has its reason.
 */
export function sensible(plan: Plan): Plan {
  return [sensibleWrite, sensibleRead, sensibleSource, sensibleFailures, sensibleEvents].reduce(
    (plan, make) => make(plan),
    plan,
  )
}

function sensibleWrite(plan: Plan): Plan {
  const { kind, createTable, transform } = plan.write
  const isTable = !isFile(kind)
  const makesTable = isTable && createTable
  const write = {
    ...plan.write,
    createTable: makesTable,
    hasOwnColumns: plan.write.hasOwnColumns && isTable && !makesTable,
    // Objects have no types to make a table of; a line of a file has no default.
    transform: makesTable || (transform === 'sparse' && !isTable) ? ('none' as const) : transform,
  }
  return { ...plan, write }
}

function sensibleRead(plan: Plan): Plan {
  const { read, write, source, resume } = plan
  // A template compares one column.
  const way = read.way === 'template' && source.key === 'pair' ? 'cursor' : read.way
  const isCursor = way === 'cursor'
  // What is tied is read as one, in the order of nothing else: an upsert has to find what was changed.
  const by = isCursor ? read.by : 'key'
  const first = by === 'time' ? 'timestamptz' : by === 'tie' ? 'int4' : (keys[source.key][0]?.type as string)
  // Ranges are those of numbers, times and uuids.
  const isCut = isCursor && !first.startsWith('text')
  const canPart = isCut && !isReplace(write.kind) && !isFile(write.kind)
  const partitions = canPart && read.parallel === 1 ? read.partitions : 1
  const parallel = isCut ? read.parallel : 1
  const nulls = partitions > 1 && read.nulls === 'first' ? 'skip' : read.nulls
  // What comes again is merged. Nulls do not come again.
  const canLookBack = isCut && first !== 'uuid' && partitions === 1 && write.kind === 'upsert'
  const looksBack = read.looksBack && canLookBack && !(source.hasNulls && by === 'time')
  // What reads all in every run never gets past a limit.
  const isLimited = !isReplace(write.kind) && way !== 'whole' && partitions === 1 && !looksBack && resume !== 'restart'
  const consistency =
    parallel > 1 ? 'snapshot' : partitions > 1 && read.consistency === 'pages' ? 'statement' : read.consistency
  const records = isLimited ? read.records : null
  return { ...plan, read: { ...read, way, by, parallel, partitions, nulls, looksBack, records, consistency } }
}

function sensibleSource(plan: Plan): Plan {
  const hasNulls = plan.source.hasNulls && plan.read.way === 'cursor' && plan.read.by === 'time'
  return { ...plan, source: { ...plan.source, hasNulls } }
}

function sensibleFailures(plan: Plan): Plan {
  const { failures, write } = plan
  const { transform, createTable } = write
  // A table that the job makes refuses nothing, a file neither.
  const isStrict = !createTable && !isFile(write.kind)
  const wanted =
    failures.poison === 'transform' || failures.poison === 'none' || isStrict ? failures.poison : 'transform'
  const poison = wanted === 'transform' && (transform === 'none' || transform === 'batches') ? 'none' : wanted
  // What was put aside when all is read again, is told again: it is not known in which load.
  const budget = failures.budget === 'few' && readsAll(plan) ? 'all' : failures.budget
  return { ...plan, failures: { ...failures, poison, budget } }
}

function sensibleEvents(plan: Plan): Plan {
  const { write } = plan
  const isTable = !isFile(write.kind)
  const steps = plan.steps.map(possible).map((step) => ({ ...step, isMidway: step.isMidway && isKnown(step.what) }))
  function possible(step: Step): Step {
    // A table that the job does not make is made by hand; a file has no checkpoint, and no other place.
    if (step.what === 'drop' && isTable && !write.createTable) return { ...step, what: 'truncate' }
    if (step.what === 'remake' && !isTable) return { ...step, what: 'truncate' }
    if (step.what === 'rewind' && !isTable) return possible({ ...step, what: 'restore' })
    if (step.what === 'restore' && plan.storage !== 'sqlite') return { ...step, what: 'nothing' }
    if (step.what === 'forget' && !isTable) return { ...step, what: 'lose' }
    // Lines are written with `extra` and without, when they are written again.
    return step.what === 'alter' && write.kind === 'file' && readsAll(plan) ? { ...step, what: 'nothing' } : step
  }
  /** Whether it is known what the target holds in the end, without how far an execution came before. */
  function isKnown(what: Step['what']): boolean {
    // A replacement that resumes keeps the lines of before.
    if (what === 'alter' && !isTable) return false
    if (isReplace(write.kind) || what === 'nothing') return true
    if (isTable && (what === 'drop' || what === 'lose' || what === 'alter')) return true
    if (what === 'rewind' || what === 'restore') return true
    if (readsAll(plan)) return write.kind === 'upsert'
    return (what === 'truncate' && plan.ifTargetReset === 'restart') || (what === 'lose all' && write.kind === 'upsert')
  }
  const isAltered = (fault: Plan['faults'][number]) => fault?.what === 'alter'
  // The columns of a table that the job makes are those that it began to read; lines of a file have those that they were read with.
  const faults = plan.faults.map((fault) => (isAltered(fault) && (!isTable || write.createTable) ? null : fault))
  return { ...plan, faults, steps }
}
