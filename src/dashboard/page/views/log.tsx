import { useLayoutEffect, useRef, useState } from 'preact/hooks'
import type { SearchFilter } from '../../../client/index.js'
import { formatCount } from '../data/format.js'
import { endedCount } from '../data/jobs.js'
import { type LogQuery, linkTo, wholeLog } from '../data/route.js'
import { client } from '../data/server.js'
import { useRead } from '../data/use-read.js'
import { useSettled } from '../data/use-settled.js'
import { Empty, Failure, Loading } from '../parts/blocks.js'
import { Icon } from '../parts/icon.js'
import { LogFilters, loggedStates } from './log-filters.js'
import { RunsTable } from './runs-table.js'

const pageSize = 50

/** The log: every run that has ended, newest first, with all filters that the server has. */
export function LogView({ query }: { query: LogQuery }) {
  if (!(Date.parse(query.from) > Date.parse(query.to))) return <FilteredLog query={query} />
  return (
    <>
      <h1 tabIndex={-1}>Log</h1>
      <LogFilters query={query} total={undefined} totals={undefined} />
      <Empty icon="search" title="“Began from” is later than “Began up to”">
        <a href={linkTo(wholeLog)}>Show the whole log</a>
      </Empty>
    </>
  )
}

function FilteredLog({ query }: { query: LogQuery }) {
  const page = Math.max(1, Math.floor(Number(query.page)) || 1)
  const filter = useSettled(JSON.stringify(filterOf(query)))
  const read = useRead(
    (signal) =>
      client.search({ ...JSON.parse(filter), from: (page - 1) * pageSize, size: pageSize, detail: true, signal }),
    [filter, page],
  )
  const totals = useRead((signal) => readTotals(JSON.parse(filter), signal), [withoutState(filter), read.value?.total])
  const { total = 0, hits = [] } = read.value ?? {}
  const hasPages = total > pageSize || page > 1
  const used = useRef<string | undefined>(undefined)
  useLayoutEffect(() => {
    toTop(used.current)
    used.current = undefined
  }, [page])
  const use = (event: Event) => {
    const { textContent, tagName } = event.target as HTMLElement
    if (event.type === 'change' || tagName === 'A') used.current = textContent || tagName
  }
  return (
    <>
      <h1 tabIndex={-1}>Log</h1>
      <LogFilters query={query} total={read.value?.total} totals={totals.value} />
      {hasPages && <Pager query={query} page={page} total={total} isTop />}
      {page === 1 && read.value && <NewerRuns key={JSON.stringify([filter, read.value.total])} onShow={read.again} />}
      {read.error !== undefined ? (
        <Failure title="The log could not be read" error={read.error} onRetry={read.again} />
      ) : read.value === undefined ? (
        <Loading rows={8} />
      ) : hits.length === 0 ? (
        <Empty icon="search" title={total === 0 ? 'No runs match' : 'This page is behind the last one'}>
          <a href={linkTo(wholeLog)}>Show the whole log</a>
        </Empty>
      ) : (
        <div class={read.isReading ? 'is-stale' : ''}>
          <RunsTable runs={hits} hasNames />
        </div>
      )}
      {hasPages && (
        <div onClickCapture={use} onChangeCapture={use}>
          <Pager query={query} page={page} total={total} />
        </div>
      )}
    </>
  )
}

function withoutState(filter: string): string {
  return JSON.stringify({ ...JSON.parse(filter), state: undefined })
}

/** How many runs have ended in each state, with the other filters as they are. */
async function readTotals(filter: SearchFilter, signal: AbortSignal): Promise<ReadonlyMap<string, number>> {
  const { state: _, ...others } = filter
  const ended = ['error', 'successful', 'aborted'] as const
  const found = await Promise.all(ended.map((state) => client.search({ ...others, state, size: 0, signal })))
  const totals = found.map(({ total }) => total)
  const sum = totals.reduce((sum, total) => sum + total, 0)
  return new Map([['', sum], ...ended.map((state, index): [string, number] => [state, totals[index] ?? 0])])
}

/** Another page begins at its first row: from the links below the rows, the view and the focus go to the same ones above them. */
function toTop(used: string | undefined): void {
  const top = document.querySelector('.pager.is-top')
  if (!top || used === undefined) return
  const links = [...top.querySelectorAll<HTMLElement>('a, input')]
  top.scrollIntoView()
  const same = links.find(({ textContent, tagName }) => (textContent || tagName) === used)
  ;(same ?? links[0])?.focus({ preventScroll: true })
}

/** The texts of the filters as the server takes them. Times are those of the viewer. */
function filterOf({ type, id, state, from, to }: LogQuery) {
  const known = loggedStates.find((name) => name === state)
  const [startTimeFrom, startTimeTo] = [Date.parse(from), Date.parse(to)]
  return {
    ...(type !== '' && { type }),
    ...(id !== '' && { id }),
    ...(known && { state: known }),
    ...(Number.isFinite(startTimeFrom) && { startTimeFrom }),
    // The field has no seconds: the minute as a whole.
    ...(Number.isFinite(startTimeTo) && { startTimeTo: startTimeTo + 59_999 }),
  }
}

/** Says that runs have ended since the page of the log was read. The rows do not move while somebody reads them. */
function NewerRuns({ onShow }: { onShow: () => void }) {
  const [before] = useState(endedCount.peek())
  const newer = endedCount.value - before
  if (newer === 0) return null
  return (
    <button type="button" class="newer" onClick={onShow}>
      <Icon name="repeat" />
      {newer === 1 ? 'A run has' : `${formatCount(newer)} runs have`} ended since
    </button>
  )
}

function Pager(props: { query: LogQuery; page: number; total: number; isTop?: boolean }) {
  const { query, page, total, isTop = false } = props
  const last = Math.max(1, Math.ceil(total / pageSize))
  const first = (page - 1) * pageSize + 1
  const to = (number: number) => linkTo({ view: 'log', query: { ...query, page: number === 1 ? '' : String(number) } })
  const go = (event: Event) => {
    const number = Number((event.target as HTMLInputElement).value)
    location.hash = to(Math.min(last, Math.max(1, Math.floor(number) || 1)))
  }
  return (
    <nav class={`pager ${isTop ? 'is-top' : ''}`} aria-label={isTop ? 'Pages, above the runs' : 'Pages'}>
      <span>
        {first > total ? 0 : formatCount(first)}–{formatCount(Math.min(total, page * pageSize))} of{' '}
        <strong>{formatCount(total)}</strong>
      </span>
      <span class="pager-links">
        <PageLink href={to(1)} isOff={page <= 1} text="Newest" />
        <PageLink href={to(page - 1)} isOff={page <= 1} text="Newer" />
        <label>
          Page <input type="number" min={1} max={last} value={page} onChange={go} aria-label="Page" /> of{' '}
          {formatCount(last)}
        </label>
        <PageLink href={to(page + 1)} isOff={page >= last} text="Older" />
        <PageLink href={to(last)} isOff={page >= last} text="Oldest" />
      </span>
    </nav>
  )
}

function PageLink({ href, isOff, text }: { href: string; isOff: boolean; text: string }) {
  return isOff ? (
    <span class="button is-off" aria-disabled="true">
      {text}
    </span>
  ) : (
    <a class="button" href={href}>
      {text}
    </a>
  )
}
