/**
 * A process that writes an NDJSON file until it is killed, and tells every checkpoint on standard output:
 * `write-ndjson <options of ndjsonFile> <checkpoint to go on from>`, both as JSON.
 */
import { writeSync } from 'node:fs'
import { errorMessages } from 'headgate'
import { RecordBatch } from 'headgate/adapter'
import { ndjsonFile } from 'headgate/ndjson'

/** Where a run stands: how many batches are in the file, and the target's position. */
export interface WrittenUpTo {
  readonly batches: number
  readonly position: unknown
}

const total = 1000
const batchSize = 40
const columns = [{ name: 'id', type: 'integer', decode: Number } as const, { name: 'text', type: 'text' } as const]

const [options = '', from] = process.argv.slice(2)
const checkpoint = from ? (JSON.parse(from) as WrittenUpTo) : undefined
const context = { type: 'ingestion', id: 'crash', executionId: 'crash', signal: new AbortController().signal }

const { writer, resume } = await ndjsonFile(JSON.parse(options)).open({
  ...context,
  position: checkpoint?.position,
  isResumed: checkpoint !== undefined,
  isResumable: true,
})
let batches = resume === 'restart' ? 0 : (checkpoint?.batches ?? 0)
try {
  await report()
  while (batches < total) {
    await writer.write(batchAt(batches), { ...context, idempotencyKey: `crash:${batches}` })
    batches++
    if (batches % 7 === 0) await report()
  }
  await writer.flush?.(null)
  await writer.commit?.()
  say({ done: true })
} catch (error) {
  await writer.abort?.({ reason: error, leaseLost: false })
  say({ errors: errorMessages(error) })
}

async function report(): Promise<void> {
  say({ batches, position: await writer.flush?.(null) } satisfies WrittenUpTo)
}

function say(what: object): void {
  writeSync(1, `${JSON.stringify(what)}\n`)
}

function batchAt(batch: number): RecordBatch {
  const ids = Array.from({ length: batchSize }, (_, index) => batch * batchSize + index)
  return RecordBatch.fromRows(
    columns,
    ids.map((id) => [String(id), `record ${id} ${'é'.repeat(id % 97)}`]),
  )
}
