import { useState } from 'preact/hooks'
import * as actions from '../data/actions.js'
import { isSameRun, type Status } from '../data/detail.js'
import { nameOf } from '../data/format.js'
import { isLive, type Job, jobs } from '../data/jobs.js'
import { client } from '../data/server.js'
import { readOnly } from '../data/settings.js'
import { DialogHead, useDialog } from '../parts/dialog.js'
import { Icon } from '../parts/icon.js'
import { asksParams, JobDialog, type Question, startText } from './job-actions.js'

/** What is asked about a job of the list, beginning with what can be done. */
export interface Asked {
  readonly job: Job
  readonly question: Question | 'menu'
  readonly refused?: string | undefined
}

/** Opens what can be done with a job. */
export function MenuButton({ job, onAsk }: { job: Job; onAsk: (asked: Asked) => void }) {
  if (!hasMenu(job)) return null
  const label = `Actions for ${nameOf(job)}`
  return (
    <button
      type="button"
      class="icon-button"
      aria-label={label}
      title={label}
      onClick={() => onAsk({ job, question: 'menu' })}
    >
      <Icon name="more" />
    </button>
  )
}

function hasMenu(job: Job): boolean {
  return !readOnly && (job.definition !== undefined || isLive(job))
}

/** The dialog about a job of the list. It is beside the list, as what has opened it may go away. */
export function AskedDialog({ asked, onAsk }: { asked: Asked; onAsk: (asked: Asked | undefined) => void }) {
  const { question, refused } = asked
  const job = { ...asked.job, ...jobs.value?.get(asked.job.key) }
  const close = () => onAsk(undefined)
  if (question === 'menu') return <Menu job={job} onAsk={onAsk} />
  const { detail } = asked.job.status ?? {}
  const hasDetail = job.status && detail && isSameRun(job.status, asked.job.status)
  const detailed = hasDetail ? { ...job, status: { ...job.status, detail } as Status } : job
  return <JobDialog key={question} job={detailed} question={question} refused={refused} onClose={close} />
}

function Menu({ job, onAsk }: { job: Job; onAsk: (asked: Asked | undefined) => void }) {
  const { close, props } = useDialog(() => onAsk(undefined))
  // Its buttons stay where they are while somebody aims at them.
  const [choices] = useState(() => choicesOf(job))
  const [reading] = useState(() => withLastRun(job))
  const pick = async (choice: Choice) => {
    const detailed = await reading
    close()
    await act(detailed, choice, onAsk)
  }
  return (
    <dialog {...props}>
      <DialogHead title={nameOf(job)} onClose={close} />
      <div class="dialog-body menu">
        {choices.map(([choice, text]) => (
          <button
            key={choice}
            type="button"
            class="button"
            data-at-once={choice === 'start' && !asksParams(job) ? true : undefined}
            onClick={() => void pick(choice)}
          >
            {text}
          </button>
        ))}
      </div>
    </dialog>
  )
}

/** The job with what its last run was started with and has reached, which the list does not tell. */
async function withLastRun(job: Job): Promise<Job> {
  const { type, id } = job
  const status = await client.status(type, id, { detail: true }).catch(() => undefined)
  return status ? { ...job, status } : job
}

async function act(job: Job, choice: Choice, onAsk: (asked: Asked) => void): Promise<void> {
  if (choice === 'unpause') return actions.attempt(actions.unpause(job), `The pause of ${nameOf(job)} goes on`)
  if (choice !== 'start') return onAsk({ job, question: choice })
  if (asksParams(job)) return onAsk({ job, question: 'params' })
  const refused = await actions.startPlainly(job)
  if (refused !== undefined) onAsk({ job, question: 'params', refused })
}

type Choice = Question | 'start' | 'unpause'

function choicesOf(job: Job): [Choice, string][] {
  const { definition, status } = job
  const { paused, fullRefresh } = definition ?? {}
  const isIdle = definition !== undefined && !isLive(job)
  const choices: [Choice, string, boolean][] = [
    ['abort', 'Abort…', isLive(job) && status?.state !== 'aborting'],
    ['start', startText(job), isIdle],
    ['params', 'Start with parameters…', isIdle],
    ['refresh', 'Full refresh…', isIdle && fullRefresh !== undefined],
    ['reset', 'Reset…', isIdle],
    ['pause', 'Pause…', definition !== undefined && !paused],
    ['unpause', 'End the pause', paused?.isOfAll === false],
  ]
  return choices.flatMap(([choice, text, isOffered]) => (isOffered ? [[choice, text]] : []))
}
