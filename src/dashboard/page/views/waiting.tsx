import { formatCount } from '../data/format.js'
import { type Job, sortedJobs } from '../data/jobs.js'
import { isIn } from '../data/shown-jobs.js'
import { JobLink } from '../parts/job-name.js'

/** What a queued job waits for, as far as the page knows: the server tells no limits, but which jobs run, and of which datasource. */
export function WaitsFor({ job }: { job: Job }) {
  const running = sortedJobs.value.filter(isIn.running)
  const datasource = job.definition?.datasource
  const [first, ...more] = running.filter(({ definition }) => datasource && definition?.datasource === datasource)
  if (first)
    return (
      <>
        Waits for a free slot of the process, or for the limit of the datasource <bdi>{datasource}</bdi>, which{' '}
        <JobLink type={first.type} id={first.id} />
        {more.length === 0 ? ' uses now.' : ` and ${formatCount(more.length)} more use now.`}
      </>
    )
  const [only] = running
  if (!only) return <>Waits for a free slot.</>
  if (running.length > 1) return <>Waits for a free slot: {formatCount(running.length)} jobs run.</>
  return (
    <>
      Waits for a free slot: <JobLink type={only.type} id={only.id} /> runs.
    </>
  )
}
