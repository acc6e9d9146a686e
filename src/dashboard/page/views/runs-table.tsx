import type { LoggedStatus } from '../../../client/index.js'
import { formatCount, formatDuration } from '../data/format.js'
import { linkToJob } from '../data/route.js'
import { JobLink } from '../parts/job-name.js'
import { State } from '../parts/state.js'
import { Time } from '../parts/time.js'
import { durationOf } from './history.js'

/** Runs of one job or of many, newest first. */
export function RunsTable(props: { runs: readonly LoggedStatus[]; hasNames?: boolean; shown?: string | undefined }) {
  const { runs, hasNames = false, shown } = props
  const hasMessages = runs.some(({ state }) => state === 'error')
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
            <th scope="col" class="number">
              Records
            </th>
            {hasMessages && <th scope="col">Message</th>}
          </tr>
        </thead>
        <tbody>
          {runs.map((run) => (
            <tr key={run.executionId} class={run.executionId === shown ? 'is-shown' : ''}>
              <td data-label="State">
                <a class="row-link" href={linkToJob(run.type, run.id, run)}>
                  <State state={run.state} />
                </a>
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
              <td data-label="Records" class="number">
                {formatCount(run.count)}
              </td>
              {hasMessages && (
                <td data-label="Message" class="message">
                  <span class="cut-text">{run.state === 'error' ? run.error[0]?.slice(0, 200) : ''}</span>
                </td>
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
