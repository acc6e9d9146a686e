import { useState } from 'preact/hooks'
import type { FailedStatus } from '../data/detail.js'
import type { Job } from '../data/jobs.js'
import { nextSteps, type StepName } from '../data/next-steps.js'
import { readOnly } from '../data/settings.js'
import { Section } from '../parts/blocks.js'
import { CopyReport } from './failed-run.js'
import { JobDialog, type Question, StartButton } from './job-actions.js'

const texts: Partial<Record<StepName, string>> = {
  params: 'Start with parameters…',
  refresh: 'Full refresh…',
  reset: 'Reset…',
  pause: 'Pause…',
}

/** What to do about a failure: the step that helps comes first, each with what it does to the target. */
export function NextStep({ job, status }: { job: Job; status: FailedStatus }) {
  const [question, ask] = useState<Question>()
  const { advice, steps } = nextSteps(job)
  if (job.definition === undefined) return null
  return (
    <Section title="Next step">
      <div class="card">
        <p>{advice}</p>
        {!readOnly && (
          <ul class="steps actions">
            {steps.map(({ name, effect }, index) => (
              <li key={name}>
                {name === 'retry' ? (
                  <StartButton job={job} isPlain={index > 0} />
                ) : name === 'copy' ? (
                  <CopyReport status={status} isPrimary={index === 0} />
                ) : (
                  <button type="button" class={`button ${index === 0 ? 'is-primary' : ''}`} onClick={() => ask(name)}>
                    {texts[name]}
                  </button>
                )}
                <span class="muted">{effect}</span>
              </li>
            ))}
          </ul>
        )}
      </div>
      {question && <JobDialog job={job} question={question} onClose={() => ask(undefined)} />}
    </Section>
  )
}
