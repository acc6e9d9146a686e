import { useState } from 'preact/hooks'
import * as actions from '../data/actions.js'
import { pauseOfAll } from '../data/jobs.js'
import { readOnly } from '../data/settings.js'
import { Field, FormDialog } from '../parts/dialog.js'
import { Icon } from '../parts/icon.js'
import { Time } from '../parts/time.js'

/** Why something is paused, and who has paused it. */
type Reasons = { reason: string; by: string }

/** Asks why, before it pauses a job or all of them. */
export function PauseDialog(props: {
  what: string
  onPause: (reasons: Reasons) => Promise<void>
  onClose: () => void
}) {
  const { what, onPause, onClose } = props
  const textOf = (form: FormData, field: string) => String(form.get(field) ?? '').trim()
  return (
    <FormDialog
      title={`Pause ${what}`}
      action="Pause"
      onClose={onClose}
      onSubmit={(form) => onPause({ reason: textOf(form, 'reason'), by: textOf(form, 'by') })}
    >
      <p>No process starts {what} until the pause ends, and no schedule does either. A run that is live goes on.</p>
      <Field label="Reason">{(names) => <input {...names} name="reason" maxLength={1000} autocomplete="off" />}</Field>
      <Field label="By">{(names) => <input {...names} name="by" maxLength={1000} />}</Field>
    </FormDialog>
  )
}

/** Pauses all jobs. */
export function PauseAllButton() {
  const [isAsked, ask] = useState(false)
  if (readOnly) return null
  return (
    <>
      {!pauseOfAll.value && (
        <button type="button" class="button" onClick={() => ask(true)}>
          <Icon name="paused" />
          Pause all…
        </button>
      )}
      {isAsked && <PauseDialog what="all jobs" onPause={actions.pauseAll} onClose={() => ask(false)} />}
    </>
  )
}

/** Says on every view that all jobs are paused. */
export function PauseBanner() {
  const { value: pause } = pauseOfAll
  if (!pause) return null
  return (
    <section class="banner is-paused" aria-label="Pause of all jobs">
      <Icon name="paused" />
      <p>
        <strong>All jobs are paused</strong> since <Time at={pause.since} />
        {pause.by !== undefined && ` by ${pause.by}`}
        {pause.reason === undefined ? '.' : `: ${pause.reason}`}
      </p>
      {!readOnly && (
        <button type="button" class="button" onClick={() => actions.attempt(actions.unpauseAll(), 'The pause goes on')}>
          End the pause
        </button>
      )}
    </section>
  )
}
