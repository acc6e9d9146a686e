import { useState } from 'preact/hooks'
import type { LoggedStatus } from '../../../client/index.js'
import { stateWords } from '../data/detail.js'
import { failedOf } from '../data/failed-records.js'
import { formatCount, formatDuration } from '../data/format.js'
import { linkToJob } from '../data/route.js'
import { countText, countTitle, FailedCount, hasRecords } from '../parts/count.js'
import { Icon } from '../parts/icon.js'
import { State } from '../parts/state.js'
import { Time } from '../parts/time.js'

/** How long the last runs took, and how many records they read: a column per run, oldest first. */
export function History({ runs, shown }: { runs: readonly LoggedStatus[]; shown: string | undefined }) {
  const [pointed, point] = useState<string>()
  const columns = [...runs].reverse()
  const longest = Math.max(1, ...columns.map(durationOf))
  const most = Math.max(...columns.map(({ count }) => count))
  const current = columns.find(({ executionId }) => executionId === (pointed ?? shown)) ?? columns.at(-1)
  if (!current) return null
  const move = (event: KeyboardEvent) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key]
    if (step === undefined) return
    event.preventDefault()
    const links = [...(event.currentTarget as HTMLElement).querySelectorAll('a')]
    links[links.indexOf(document.activeElement as HTMLAnchorElement) + step]?.focus()
  }
  return (
    <div class="history">
      <div class="history-scale" aria-hidden="true">
        <span>Duration, up to {formatDuration(longest)}</span>
        {most > 0 && (
          <span>
            {countTitle(current)}, up to {formatCount(most)}
          </span>
        )}
      </div>
      {/* biome-ignore lint/a11y/useSemanticElements: a fieldset is for inputs */}
      <div
        class={`history-columns ${most > 0 ? '' : 'is-short'}`}
        role="group"
        aria-label={`The last ${columns.length} runs, oldest first`}
        onKeyDown={move}
      >
        {columns.map((run) => (
          <a
            key={run.executionId}
            class={`column is-${run.state} ${run === current ? 'is-current' : ''}`}
            href={linkToJob(run.type, run.id, run)}
            tabIndex={run === current ? 0 : -1}
            aria-label={labelOf(run)}
            aria-current={run.executionId === shown ? 'true' : undefined}
            onFocus={() => point(run.executionId)}
            onPointerEnter={() => point(run.executionId)}
            onPointerLeave={() => point(undefined)}
          >
            <Bars run={run} longest={longest} most={most} />
            <Icon name={run.state} />
          </a>
        ))}
      </div>
      <p class="history-caption">
        <State state={current.state} /> <Time at={current.startTime} isFull /> · took{' '}
        <strong>{formatDuration(durationOf(current))}</strong>
        {hasRecords(current) && ` · ${countText(current)}`}{' '}
        <FailedCount failed={failedOf(current)} job={current} run={current} />
      </p>
    </div>
  )
}

/** How long a run took, and how much it counted. */
function Bars({ run, longest, most }: { run: LoggedStatus; longest: number; most: number }) {
  const failed = failedOf(run)
  return (
    <>
      <span class="column-frame">
        <span class="column-bar" style={{ height: `${Math.max(2, (100 * durationOf(run)) / longest)}%` }} />
      </span>
      {most > 0 && (
        <span class="column-frame is-low">
          <span
            class="column-bar"
            style={{ height: `${run.count === 0 ? 0 : Math.max(3, (100 * run.count) / most)}%` }}
          >
            {failed > 0 && (
              <span
                class="column-failed"
                style={{ height: `${Math.max(15, (100 * failed) / Math.max(1, run.count))}%` }}
              />
            )}
          </span>
        </span>
      )}
    </>
  )
}

function labelOf(run: LoggedStatus): string {
  const count = hasRecords(run) ? `, ${countText(run)}` : ''
  const failed = failedOf(run) > 0 ? `, ${formatCount(failedOf(run))} failed` : ''
  return `${stateWords[run.state]} ${new Date(run.startTime).toLocaleString()}, ${formatDuration(durationOf(run))}${count}${failed}`
}

/** How long a run took. */
export function durationOf(run: LoggedStatus): number {
  return 'endTime' in run ? run.endTime - run.startTime : 0
}
