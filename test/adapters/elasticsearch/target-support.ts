import type { JobRecord, Target } from 'headgate'
import { newExecutionId, type OpenContext, type OpenTarget, RecordBatch, type TargetWriter } from 'headgate/adapter'
import { type ElasticsearchTargetOptions, elasticsearchTarget } from 'headgate/elasticsearch'
import { afterEach } from 'vitest'
import type { TestOpensearch } from '../../support/opensearch.js'

const job = { type: 'ingestion', id: 'job' }

/** How a job opens the target: every call is another execution, later than the ones before. */
export function context(more: Partial<OpenContext> = {}): OpenContext {
  const executionId = newExecutionId(more.id ?? job.id, Date.now())
  const { signal } = new AbortController()
  return { ...job, executionId, signal, position: undefined, isResumed: false, isResumable: true, ...more }
}

let batches = 0

export async function write(writer: TargetWriter, records: readonly JobRecord[]): Promise<void> {
  await writer.write(RecordBatch.fromRecords([...records]), { ...context(), idempotencyKey: `batch-${++batches}` })
}

const writers: TargetWriter[] = []

/** A writer, which is aborted after the test. */
export async function opened(
  target: Target,
  more: Partial<OpenContext> = {},
): Promise<{ writer: TargetWriter; resume: OpenTarget['resume'] }> {
  const { writer, resume = 'position' } = await target.open(context(more))
  writers.push(writer)
  return { writer, resume }
}

/** Aborts what a test has opened. */
export function abortWriters(): void {
  afterEach(async () => {
    for (const writer of writers.splice(0)) await writer.abort?.({ reason: 'over', leaseLost: true })
  })
}

/** Writes records, and commits. */
export async function complete(target: Target, records: readonly JobRecord[], more: Partial<OpenContext> = {}) {
  const { writer } = await opened(target, more)
  if (records.length > 0) await write(writer, records)
  await writer.flush?.(null)
  return writer.commit?.()
}

/** What the server has of a document. */
export interface Hit {
  readonly _id: string
  readonly _routing?: string
  readonly _source: Readonly<Record<string, unknown>>
}

/** The tests of a target on a server: an index for each. */
export function indexTests(server: TestOpensearch) {
  let count = 0
  let index = ''
  const settings = { number_of_shards: 1, number_of_replicas: 0 }
  return {
    /** A name that no test had before. */
    nextIndex: () => {
      index = `${server.prefix}i${++count}`
      return index
    },
    target: (more: Partial<ElasticsearchTargetOptions> = {}) =>
      elasticsearchTarget({ ...(more.client ? {} : { node: server.url }), index, id: 'id', settings, ...more }),
    async hits(name = index): Promise<readonly Hit[]> {
      await server.send('POST', `/${name}/_refresh`)
      const found = await server.send<{ hits: { hits: Hit[] } }>('GET', `/${name}/_search?size=10000`)
      return found.hits.hits.sort((one, other) => (one._id < other._id ? -1 : 1))
    },
    /** The texts of the sources, to the letter, by their ids. */
    async sources(ids: readonly string[], name = index): Promise<string[]> {
      return Promise.all(
        ids.map(async (id) => (await fetch(`${server.url}/${name}/_source/${encodeURIComponent(id)}`)).text()),
      )
    },
  }
}

/** The messages of an error and its causes. */
export function messagesOf(error: unknown): string {
  const messages: string[] = []
  for (let link = error; link instanceof Error; link = link.cause) messages.push(link.message)
  return messages.join(' | ')
}

/** What a promise rejects with. */
export function failureOf(
  promise: Promise<unknown> | undefined,
): Promise<{ code?: string; message: string; recordIndexes?: number[] }> {
  return Promise.resolve(promise).then(
    () => Promise.reject(new Error('Expected a failure.')),
    (error) => error,
  )
}
