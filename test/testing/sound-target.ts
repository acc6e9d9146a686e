import { setTimeout } from 'node:timers/promises'
import type { Target } from 'headgate'
import {
  type EncodedRows,
  JobError,
  type OpenContext,
  RecordBatch,
  type Row,
  type TargetWriter,
} from 'headgate/adapter'
import type { TargetFixture, TargetRecord } from 'headgate/testing'

/** One way to break the contract each. */
export type TargetBug =
  | 'accepts all formats'
  | 'blames the first record'
  | 'forgets its checkpoint'
  | 'has one buffer'
  | 'keeps half a batch'
  | 'keeps what was not flushed'
  | 'loses what comes during a flush'
  | 'publishes at once'
  | 'says nothing of a reset'
  | 'says nothing when broken'
  | 'resets nothing'
  | 'lets earlier executions write after a reset'
  | 'shares checkpoints'
  | 'touches what it has lost'
  | 'truncates at once'
  | 'truncates nothing'
  | 'checks nothing'
  | 'ignores the signal of a check'
  | 'writes in a check'
  | 'refuses no refresh'
  | 'ignores the signal of a refresh check'
  | 'removes records in a refresh check'
  | 'ends runs in a refresh check'
  | 'writes again what it has'
  | 'loses what came before a rejected write'
  | 'creates nothing'
  | 'empties what exists'

/** What is stored of a job. */
interface Stored {
  records: TargetRecord[]
  checkpoint: unknown
  owner: string
}

/** A target that supports everything that the suite knows, in memory, of which one way to write; `bug` breaks it. */
export function soundTarget(
  strategy: 'append' | 'replace',
  bug?: TargetBug,
  writes: 'atomically' | 'idempotently' = 'atomically',
): TargetFixture {
  const jobs = new Map<string, Stored>()
  let published: TargetRecord[] = []
  let connections = 0
  let common: TargetRecord[] = []
  let isMissing = false

  function storedFor({ id, partition, executionId, isResumed }: OpenContext): Stored {
    const key = bug === 'shares checkpoints' ? 'all' : JSON.stringify([id, partition])
    const stored = jobs.get(key) ?? { records: [], checkpoint: null, owner: executionId }
    if (strategy === 'replace' && !isResumed) Object.assign(stored, { records: [], checkpoint: null })
    jobs.set(key, Object.assign(stored, { owner: executionId }))
    return stored
  }

  function open(context: OpenContext): ReturnType<Target['open']> {
    const stored = storedFor(context)
    const { executionId, toleratesFailures = false } = context
    const connection = connections
    const wasEmptied = stored.checkpoint !== null && stored.records.length === 0
    let buffer: TargetRecord[] = []
    let mustTruncate = false
    const bufferOf = () => (bug === 'has one buffer' ? common : buffer)
    const checkConnected = () => {
      if (connection !== connections) throw new JobError('target', 'The connection is lost.')
    }
    const writer: TargetWriter = {
      get isBroken() {
        return connection !== connections && bug !== 'says nothing when broken'
      },
      acceptsEncoded: (format) => format === 'memory' || bug === 'accepts all formats',
      isReset: async () => wasEmptied && bug !== 'says nothing of a reset',
      async write(batch) {
        checkConnected()
        isMissing = false
        const records = batch.records() as unknown as TargetRecord[]
        const refused = records.findIndex(({ text }) => text === 'refused')
        if (refused >= 0) {
          if (bug === 'loses what came before a rejected write') bufferOf().length = 0
          if (bug === 'keeps half a batch' || writes === 'idempotently') bufferOf().push(...records.slice(0, refused))
          const recordIndex = bug === 'blames the first record' ? 0 : refused
          throw new JobError('target', 'It is refused.', toleratesFailures ? { recordIndex } : {})
        }
        bufferOf().push(...records)
        if (bug === 'keeps what was not flushed') stored.records.push(...bufferOf().splice(0))
      },
      async createEmpty() {
        if (bug === 'empties what exists') for (const one of jobs.values()) one.records.length = 0
        if (bug === 'empties what exists') published = []
        if (bug !== 'creates nothing') isMissing = false
      },
      async truncate() {
        if (bug === 'truncates nothing') return
        if (bug === 'truncates at once') for (const one of jobs.values()) one.records.length = 0
        mustTruncate = true
      },
      async flush(checkpoint) {
        checkConnected()
        if (stored.owner !== executionId) throw new JobError('lease_lost', 'Another execution writes.')
        if (mustTruncate) for (const one of jobs.values()) one.records.length = 0
        mustTruncate = false
        const taken = bufferOf().splice(0)
        await setTimeout(1)
        if (bug === 'loses what comes during a flush') bufferOf().splice(0)
        const known = new Set(writes === 'idempotently' ? stored.records.map(({ id }) => id) : [])
        const isNew = ({ id }: TargetRecord) =>
          writes === 'atomically' || bug === 'writes again what it has' || (!known.has(id) && known.add(id))
        stored.records.push(...taken.filter(isNew))
        if (bug !== 'forgets its checkpoint') stored.checkpoint = checkpoint
        if (bug === 'publishes at once') published = [...stored.records]
      },
      async commit() {
        if (strategy === 'replace') published = [...stored.records]
        if (strategy === 'replace') Object.assign(stored, { records: [], checkpoint: null })
      },
      async abort({ leaseLost }) {
        if (leaseLost && bug === 'touches what it has lost') stored.records.length = 0
        if (bug === 'has one buffer') common = []
        buffer = []
      },
    }
    const isGone = strategy === 'replace' && stored.checkpoint === null && context.isResumed
    return { writer, resume: isGone ? 'restart' : { checkpoint: stored.checkpoint } }
  }

  /** Whether it can be written to. */
  const checkOf = (isUsable: boolean) => async (signal: AbortSignal) => {
    if (bug !== 'ignores the signal of a check') signal.throwIfAborted()
    if (bug === 'writes in a check') jobs.clear()
    if (bug === 'writes in a check') published = []
    if (!isUsable && bug !== 'checks nothing') throw new JobError('target', 'It is away.')
  }

  /** Whether a full refresh could be done. */
  const refreshCheckOf = (canRefresh: boolean) => async (signal: AbortSignal) => {
    if (bug !== 'ignores the signal of a refresh check') signal.throwIfAborted()
    if (bug === 'removes records in a refresh check') for (const one of jobs.values()) one.records.length = 0
    if (bug === 'removes records in a refresh check') published = []
    if (bug === 'ends runs in a refresh check') for (const one of jobs.values()) one.owner += '+checked'
    if (!canRefresh && bug !== 'refuses no refresh') throw new JobError('invalid_options', 'It stands in the way.')
  }

  const all = () => [...jobs.values()].flatMap(({ records }) => records).sort((a, b) => a.id - b.id)
  return {
    target: {
      kind: 'sound',
      strategy,
      capabilities: {
        ...(writes === 'atomically' ? { writesAtomically: true } : { writesIdempotently: true }),
        ...{ writesPartitions: true, writesDuringFlush: true },
        ...(strategy === 'append' && { onFullRefresh: 'truncate' as const }),
      },
      open,
      check: checkOf(true),
      checkFullRefresh: refreshCheckOf(true),
      async resetCheckpoint({ id, executionId, checkpoint }) {
        const stored = jobs.get(JSON.stringify([id, undefined]))
        if (!stored || bug === 'resets nothing') return
        if (executionId !== undefined && stored.owner > executionId)
          throw new JobError('lease_lost', 'A later one writes.')
        stored.checkpoint = checkpoint
        if (bug !== 'lets earlier executions write after a reset') stored.owner += '+reset'
      },
    },
    read() {
      if (isMissing) throw new JobError('target', 'It is not there.')
      return strategy === 'replace' ? published : all()
    },
    refused: (id) => ({ id, text: 'refused', nested: null }),
    encoded: (records) =>
      RecordBatch.fromEncoded(
        ['id', 'text', 'nested'].map((name) => ({ name, type: 'value' })),
        encodedRows(records.map(({ id, text, nested }) => [id, text, nested])),
      ),
    unusable: () => ({ kind: 'sound', open, check: checkOf(false) }),
    unrefreshable: () => ({ kind: 'sound', open, checkFullRefresh: refreshCheckOf(false) }),
    empty() {
      for (const stored of jobs.values()) stored.records.length = 0
    },
    drop() {
      isMissing = true
    },
    disconnect() {
      connections++
    },
  }
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
