import { useState } from 'preact/hooks'
import { fieldsOf, numberOf } from '../data/detail.js'
import { formatCount } from '../data/format.js'
import { isTime, shareOf, shortValues } from '../data/short-values.js'
import { Icon, type IconName } from '../parts/icon.js'

type Progress = Readonly<Record<string, unknown>>

/** What a partition tells of itself. Others than headgate's server may send anything. */
interface Partition {
  readonly number: number
  readonly state: PartitionState
  readonly read: number
  readonly from: string | undefined
  readonly until: string | undefined
  readonly position: string | undefined
  readonly node: string | undefined
}

const states = {
  done: { word: 'done', icon: 'successful', tone: 'successful' },
  running: { word: 'running', icon: 'running', tone: 'running' },
  aborting: { word: 'aborting', icon: 'aborting', tone: 'aborting' },
  failed: { word: 'failed', icon: 'error', tone: 'error' },
  aborted: { word: 'aborted', icon: 'aborted', tone: 'aborted' },
  queued: { word: 'queued', icon: 'queued', tone: 'queued' },
} as const satisfies Record<string, { word: string; icon: IconName; tone: string }>

type PartitionState = keyof typeof states

/** Up to how many partitions are listed below the strip before somebody asks for all. */
const listedAtFirst = 8

/** The range that an ingestion reads, from its first partition to its last: which part is done, and which one is where. */
export function Partitions({ progress }: { progress: Progress }) {
  const [total, done] = [numberOf(fieldsOf(progress.parts).total), numberOf(fieldsOf(progress.parts).done)]
  const { list, states: counts } = fieldsOf(progress.partitions)
  const partitions = Array.isArray(list) ? list.map(partitionOf).filter((one) => one !== undefined) : []
  if (!total || done === undefined) return null
  return (
    <div class="partitions">
      <p class="partition-counts">
        <span>
          <strong>
            {formatCount(done)} of {formatCount(total)}
          </strong>{' '}
          partitions are done
        </span>
        {Object.entries(states).map(([state, { word, icon, tone }]) => {
          const count = numberOf(fieldsOf(counts)[state]) ?? 0
          return (
            state !== 'done' &&
            count > 0 && (
              <span key={state} class={`state is-${tone}`}>
                <Icon name={icon} />
                {formatCount(count)} {word}
              </span>
            )
          )
        })}
      </p>
      {partitions.length > 0 && <Strip partitions={partitions} total={total} />}
    </div>
  )
}

function Strip({ partitions, total }: { partitions: readonly Partition[]; total: number }) {
  const [isWhole, setWhole] = useState(false)
  const short = shortValues(partitions.flatMap(({ from, until }) => [from, until]))
  const most = Math.max(1, ...partitions.map(({ read }) => read))
  const [first, last] = [partitions[0], partitions.at(-1)]
  // What goes on or went wrong comes first where not all are listed.
  const ranked = [...partitions].sort((one, other) => rankOf(one) - rankOf(other) || one.number - other.number)
  const listed = isWhole ? partitions : ranked.slice(0, listedAtFirst).sort((one, other) => one.number - other.number)
  return (
    <>
      <div class="strip" aria-hidden="true">
        {partitions.map((partition) => (
          <span
            key={partition.number}
            class={`strip-part is-${states[partition.state].tone}`}
            title={`${rangeText(partition, short)}: ${states[partition.state].word}, ${formatCount(partition.read)} records`}
          >
            <Read partition={partition} />
            {partitions.length <= 24 && <Icon name={states[partition.state].icon} />}
          </span>
        ))}
      </div>
      <div class="strip-ends" aria-hidden="true">
        <span>{first?.from === undefined ? 'first record' : short(first.from)}</span>
        {partitions.length < total && <span>{formatCount(partitions.length)} of them are shown</span>}
        <span>{last?.until === undefined ? 'last record' : short(last.until)}</span>
      </div>
      <ol class="partition-list" aria-label="Partitions">
        {listed.map((partition) => (
          <PartitionRow key={partition.number} partition={partition} most={most} short={short} />
        ))}
      </ol>
      {partitions.some(({ from, until }) => isTime(from ?? until)) && (
        <p class="note">The times of the ranges are in UTC.</p>
      )}
      {listed.length < partitions.length && (
        <button type="button" class="text-button" onClick={() => setWhole(true)}>
          Show all {partitions.length}
        </button>
      )}
    </>
  )
}

/** How much of its range a partition has read. */
function Read({ partition: { state, position = '', from, until } }: { partition: Partition }) {
  const share = state === 'done' ? undefined : shareOf(position, from, until)
  return share === undefined ? null : <span class="strip-read" style={{ width: `${100 * share}%` }} />
}

function PartitionRow(props: { partition: Partition; most: number; short: (value: string) => string }) {
  const { partition, most, short } = props
  const { number, state, read, position, node } = partition
  const { word, icon, tone } = states[state]
  return (
    <li>
      <span class="partition-number">{number}</span>
      <span class={`state is-${tone}`}>
        <Icon name={icon} />
        {word}
      </span>
      <span class="partition-range">
        <Range partition={partition} short={short} />
      </span>
      <span class="partition-read">
        <span class={`partition-bar is-${tone}`} style={{ width: `${(100 * read) / most}%` }} aria-hidden="true" />
        <strong>{formatCount(read)}</strong> records
      </span>
      <span class="muted partition-place">
        {position !== undefined && state !== 'done' && <span class="whole">at {short(position)}</span>}{' '}
        {node !== undefined && (
          <span class="whole">
            on <bdi>{node}</bdi>
          </span>
        )}
      </span>
    </li>
  )
}

function Range({ partition, short }: { partition: Partition; short: (value: string) => string }) {
  const { from, until } = partition
  if (from === undefined || until === undefined) return <>{rangeText(partition, short)}</>
  return (
    <>
      <span class="whole">{short(from)} –</span> <span class="whole">{short(until)}</span>
    </>
  )
}

function rangeText({ from, until }: Partition, short: (value: string) => string): string {
  if (from === undefined) return until === undefined ? 'all' : `up to ${short(until)}`
  return until === undefined ? `from ${short(from)}` : `${short(from)} – ${short(until)}`
}

const ranks: Record<PartitionState, number> = { failed: 0, aborted: 0, running: 1, aborting: 1, queued: 2, done: 3 }

function rankOf({ state }: Partition): number {
  return ranks[state]
}

function partitionOf(value: unknown): Partition | undefined {
  const { number, state, read, from, until, position, node } = fieldsOf(value)
  if (numberOf(number) === undefined || !Object.hasOwn(states, String(state))) return undefined
  const textOf = (field: unknown) => (typeof field === 'string' ? field : undefined)
  return {
    number: Number(number),
    state: state as PartitionState,
    read: numberOf(read) ?? 0,
    from: textOf(from),
    until: textOf(until),
    position: textOf(position),
    node: textOf(node),
  }
}
