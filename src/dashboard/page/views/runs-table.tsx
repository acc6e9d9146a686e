import type { LoggedStatus } from '../../../client/index.js'
import { messagesOf } from '../data/detail.js'
import { failedOf } from '../data/failed-records.js'
import { formatDuration } from '../data/format.js'
import { linkToJob } from '../data/route.js'
import { Coded } from '../parts/coded.js'
import { CountCell, countTitle, FailedCount, hasRecords } from '../parts/count.js'
import { JobLink } from '../parts/job-name.js'
import { State } from '../parts/state.js'
import { Time } from '../parts/time.js'
import { durationOf } from './history.js'

/** Runs of one job or of many, newest first. The last cause of a failure says why. `explained` is the run whose causes the view shows. */
export function RunsTable(props: {
  runs: readonly LoggedStatus[]
  hasNames?: boolean
  shown?: string | undefined
  explained?: string | undefined
}) {
  const { runs, hasNames = false, shown, explained } = props
  const hasMessages = runs.some(({ state }) => state === 'error')
  const hasCounts = runs.some(hasRecords)
  return (
    <div class="table-frame">
      <table class={`table ${hasNames ? 'has-names' : ''}`}>
        <thead>
          <tr>
            <th scope="col">State</th>
            {hasNames && <th scope="col">Job</th>}
            <th scope="col">Began</th>
            <th scope="col" class="number">
              Duration
            </th>
            {hasCounts && (
              <th scope="col" class="number">
                {hasNames ? 'Count' : countTitle(runs[0])}
              </th>
            )}
            {hasMessages && <th scope="col">Why it failed</th>}
          </tr>
        </thead>
        <tbody>
          {runs.map((run) => (
            <tr key={run.executionId} class={run.executionId === shown ? 'is-shown' : ''}>
              <td data-label="State">
                <a class="row-link" href={linkToJob(run.type, run.id, run)}>
                  <State state={run.state} />
                </a>{' '}
                <FailedCount failed={failedOf(run)} job={run} run={run} />
              </td>
              {hasNames && (
                <td data-label="Job">
                  <JobLink type={run.type} id={run.id} run={run} />
                </td>
              )}
              <td data-label="Began">
                <Time at={run.startTime} isFull={hasNames} />
              </td>
              <td data-label="Duration" class="number">
                {'endTime' in run ? formatDuration(durationOf(run)) : <span class="muted">–</span>}
              </td>
              {hasCounts && <CountCell status={run} />}
              {hasMessages && <MessageCell run={run} isExplained={run.executionId === explained} />}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

/** Why a run failed, in a line. The view of the run has the whole chain. */
function MessageCell({ run, isExplained }: { run: LoggedStatus; isExplained: boolean }) {
  return (
    <td data-label="Message" class="message">
      {run.state === 'error' && (
        <span class="cut-text" title={run.error.join('\n').slice(0, 1000)}>
          {isExplained ? 'as above' : <Coded text={messagesOf(run).at(-1)?.slice(0, 200) ?? ''} />}
        </span>
      )}
    </td>
  )
}
