import { visible } from '../data/format.js'
import { linkToJob } from '../data/route.js'

/** A job by its type and id, which may be in any script and direction. */
export function JobName({ type, id }: { type: string; id: string }) {
  return (
    <span class="job-name">
      <bdi class="job-type">{visible(type)}</bdi>
      <span class="job-slash">/</span>
      <bdi class="job-id">{visible(id)}</bdi>
    </span>
  )
}

/** A link to a job, or to one of its runs. */
export function JobLink(props: {
  type: string
  id: string
  run?: { executionId: string; startTime: number } | undefined
}) {
  const { type, id, run } = props
  return (
    <a class="job-link" href={linkToJob(type, id, run)}>
      <JobName type={type} id={id} />
    </a>
  )
}
