import type { IngestionDetail, PartitionDetail, PartitionState } from '../contract/index.js'
import type { PartitionProgress } from './partition-progress.js'

/** Maximum number of listed partitions, and maximum length of each of their texts. */
const limits = { partitions: 100, text: 100 }

/** Which states are listed first when there are too many partitions. */
const ranks: Record<PartitionState, number> = { running: 0, aborting: 0, failed: 0, aborted: 0, queued: 1, done: 2 }

/** The partitions of a job, for its status. */
export function partitionList(partitions: readonly PartitionProgress[]): NonNullable<IngestionDetail['partitions']> {
  const states: { [State in PartitionState]?: number } = {}
  const all = partitions.map((partition) => ({ partition, state: stateOf(partition) }))
  for (const { state } of all) states[state] = (states[state] ?? 0) + 1
  // The sort is stable: partitions of one rank stay in their order.
  const first = all.sort((one, other) => ranks[one.state] - ranks[other.state]).slice(0, limits.partitions)
  const listed = first.sort((one, other) => one.partition.n - other.partition.n)
  return { states, list: listed.map(({ partition, state }) => detailOf(partition, state)) }
}

function stateOf({ record, isDone, isFree, isLive }: PartitionProgress): PartitionState {
  if (!record || isFree) return 'queued'
  if (isDone) return 'done'
  if (isLive) return record.state as 'queued' | 'running' | 'aborting'
  return record.state === 'aborted' ? 'aborted' : 'failed'
}

function detailOf({ n, range, record, counted }: PartitionProgress, state: PartitionState): PartitionDetail {
  const { from, until } = range
  const shown: PartitionDetail = { number: n, state, read: counted?.read ?? 0 }
  if (from !== undefined) shown.from = shownBound(from)
  if (until !== undefined) shown.until = shownBound(until)
  // Others may write to a shared storage.
  const position = record?.detail?.position
  if (typeof position === 'string') shown.position = position.slice(0, limits.text)
  if (typeof record?.node === 'string') shown.node = record.node.slice(0, limits.text)
  return shown
}

/** A time with a zone, as Postgres and other databases write it. */
const zonedTime = /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d(?:\.\d{1,9})?)(Z|[+-]\d\d(?::?\d\d)?)$/

/** The text of a bound: ISO 8601, as a position is shown, if it is a time with a zone. */
function shownBound(text: string): string {
  const [, date, time, zone] = zonedTime.exec(text) ?? []
  if (zone === undefined) return text.slice(0, limits.text)
  const iso = new Date(`${date}T${time}${/^.\d\d$/.test(zone) ? `${zone}:00` : zone}`)
  return Number.isNaN(iso.getTime()) ? text : iso.toISOString()
}
