import { useState } from 'preact/hooks'
import { hasEnded } from '../../../wire/index.js'
import * as actions from '../data/actions.js'
import { checkpointOf, detailOf, isIngestionType, isSameRun, type Status, stateWords } from '../data/detail.js'
import { nameOf, visible } from '../data/format.js'
import { isLive, type Job } from '../data/jobs.js'
import { refreshEffects } from '../data/next-steps.js'
import { readOnly } from '../data/settings.js'
import { Field, FormDialog } from '../parts/dialog.js'
import { Icon } from '../parts/icon.js'
import { Time } from '../parts/time.js'
import { PauseDialog } from './pauses.js'

/** What asks before it is done. */
export type Question = 'params' | 'refresh' | 'abort' | 'pause' | 'reset' | 'retry'

/** What can be done with a job now. `hasSteps` is whether the view shows what to do about a failure. */
export function JobActions({ job, hasSteps }: { job: Job; hasSteps: boolean }) {
  const [question, ask] = useState<Question>()
  if (readOnly) return null
  const isDefined = job.definition !== undefined
  const { paused } = job.definition ?? {}
  // What can be done about a failure stands below it, with what each does.
  const isShort = hasSteps && job.status?.state === 'error'
  return (
    <div class="actions">
      {isLive(job) ? (
        <AbortButton isAborting={job.status?.state === 'aborting'} onClick={() => ask('abort')} />
      ) : (
        !isShort && <StartButton job={job} />
      )}
      {isDefined && !isLive(job) && !isShort && (
        <>
          <ActionButton text="Start with parameters…" onClick={() => ask('params')} />
          {job.definition?.fullRefresh && <ActionButton text="Full refresh…" onClick={() => ask('refresh')} />}
          <ActionButton text="Reset…" onClick={() => ask('reset')} />
        </>
      )}
      {isDefined && !paused?.isOfAll && (
        // One button, which keeps the focus.
        <ActionButton
          text={paused ? 'End the pause' : 'Pause…'}
          onClick={() =>
            paused ? actions.attempt(actions.unpause(job), `The pause of ${nameOf(job)} goes on`) : ask('pause')
          }
        />
      )}
      {question && <JobDialog job={job} question={question} onClose={() => ask(undefined)} />}
    </div>
  )
}

function hasFailed({ status }: Job): boolean {
  return status?.state === 'error' || status?.state === 'aborted'
}

/** Whether a start asks for the parameters of the run that failed. */
export function asksParams(job: Job): boolean {
  return hasFailed(job) && detailOf(job.status).params !== undefined
}

/** What the button says that starts a job. */
export function startText(job: Job): string {
  const paused = job.definition?.paused ? ' although paused' : ''
  return `${hasFailed(job) ? 'Retry' : 'Start'}${paused}${asksParams(job) ? '…' : ''}`
}

/** Starts a job. A failed one goes on from its checkpoint. The parameters of its run are asked for, as the page knows them redacted. */
export function StartButton({ job, isSmall, isPlain }: { job: Job; isSmall?: boolean; isPlain?: boolean }) {
  const [isBusy, setBusy] = useState(false)
  const [asked, ask] = useState<{ refused?: string }>()
  if (readOnly || job.definition === undefined) return null
  const text = startText(job)
  const start = async () => {
    if (isBusy) return
    if (asksParams(job)) return ask({})
    setBusy(true)
    const refused = await actions.startPlainly(job)
    setBusy(false)
    if (refused !== undefined) ask({ refused })
  }
  return (
    <>
      <button
        type="button"
        class={`button ${isPlain ? '' : 'is-primary'} ${isSmall ? 'is-small' : ''}`}
        onClick={start}
        data-at-once={asksParams(job) ? undefined : true}
        aria-disabled={isBusy}
        aria-label={`${text} ${nameOf(job)}`}
      >
        <Icon name={hasFailed(job) ? 'repeat' : 'play'} />
        {text}
      </button>
      {asked && <JobDialog job={job} question="params" {...asked} onClose={() => ask(undefined)} />}
    </>
  )
}

/** The focus stays on it while the job stops. */
function AbortButton({ isAborting, onClick }: { isAborting: boolean; onClick: () => void }) {
  return (
    <button type="button" class="button" onClick={() => isAborting || onClick()} aria-disabled={isAborting}>
      <Icon name="stop" />
      {isAborting ? 'Aborting…' : 'Abort…'}
    </button>
  )
}

function ActionButton({ text, onClick }: { text: string; onClick: () => void }) {
  return (
    <button type="button" class="button" onClick={onClick}>
      {text}
    </button>
  )
}

/** The dialog of a question about a job. */
export function JobDialog(props: {
  job: Job
  question: Question
  onClose: () => void
  checkpoint?: string | undefined
  /** Why a start without parameters was refused. */
  refused?: string | undefined
}) {
  const { job, question, onClose, checkpoint, refused } = props
  const name = nameOf(job)
  const isForced = job.definition?.paused ? { force: true } : {}
  switch (question) {
    case 'params':
      return (
        <FormDialog
          title={`Start ${name} with parameters`}
          action={job.definition?.paused ? 'Start although paused' : 'Start'}
          refused={refused}
          onClose={onClose}
          onSubmit={async (form) => {
            const params = actions.parseParams(textOf(form, 'params'))
            await actions.start(job, { params, ...(form.has('refresh') && { fullRefresh: true }), ...isForced })
          }}
        >
          <PausedNote job={job} />
          <ParamsField job={job} />
          {job.definition?.fullRefresh && (
            <label class="choice">
              <input type="checkbox" name="refresh" /> Read everything again, from the beginning
            </label>
          )}
        </FormDialog>
      )
    case 'refresh':
      return (
        <FormDialog
          title={`Full refresh of ${name}`}
          action={job.definition?.paused ? 'Read everything again although paused' : 'Read everything again'}
          onClose={onClose}
          onSubmit={() => actions.start(job, { fullRefresh: true, ...isForced })}
        >
          <PausedNote job={job} />
          <p>
            The job reads everything again, from the beginning. {refreshEffects[job.definition?.fullRefresh ?? 'merge']}
          </p>
        </FormDialog>
      )
    case 'abort':
      return <AbortDialog job={job} onClose={onClose} />
    default:
      return <LaterDialog job={job} question={question} onClose={onClose} checkpoint={checkpoint} />
  }
}

/** Says that a start leaves a pause out of account. */
function PausedNote({ job: { definition } }: { job: Job }) {
  const { paused } = definition ?? {}
  if (!paused) return null
  const of = paused.isOfAll ? 'All jobs are paused' : 'The job is paused'
  return (
    <p>
      {of}
      {paused.reason !== undefined && <> ({visible(paused.reason)})</>}. This run begins all the same, and the pause
      goes on.
    </p>
  )
}

/** Aborts the run that is live when the dialog opens, and no other one. */
function AbortDialog({ job, onClose }: { job: Job; onClose: () => void }) {
  const [meant] = useState(job.status)
  const [execution] = useState(() => meant && actions.executionOf(job, meant))
  execution?.catch(() => undefined)
  return (
    <FormDialog
      title={`Abort ${nameOf(job)}`}
      action="Abort"
      isDangerous
      onClose={onClose}
      onSubmit={async (form) => actions.abort(job, (await execution) ?? '', textOf(form, 'reason'))}
    >
      <Moved job={job} meant={meant} />
      <p>
        {meant?.state === 'queued'
          ? 'The job waits, and will not begin.'
          : isIngestion(job)
            ? 'The job stops after its current batch. What it has written stays, and the next run goes on from the checkpoint.'
            : 'The job is asked to stop. It ends when its code heeds that.'}
      </p>
      <Field label="Reason" hint="For people. It is shown with the run.">
        {(names) => <input {...names} name="reason" maxLength={1000} autocomplete="off" />}
      </Field>
    </FormDialog>
  )
}

/** Says that the run that a dialog is about has ended since it was opened. */
function Moved({ job: { status }, meant }: { job: Job; meant: Status | undefined }) {
  const isSame = isSameRun(status, meant)
  // A run that had ended before says nothing new.
  if (!status || (isSame && (!hasEnded(status) || (meant && hasEnded(meant))))) return null
  return (
    <p class="form-error" role="alert">
      <Icon name="error" />
      <span>
        {isSame ? (
          `This run has ended: ${stateWords[status.state].toLowerCase()}.`
        ) : (
          <>
            The run that this is about has ended, and another one has begun <Time at={status.startTime} />.
          </>
        )}
      </span>
    </p>
  )
}

/** The questions that concern later runs. */
function LaterDialog(props: { job: Job; question: Question; onClose: () => void; checkpoint?: string | undefined }) {
  const { job, question, onClose, checkpoint } = props
  const name = nameOf(job)
  const [meant] = useState(job.status)
  const [execution] = useState(() => (question === 'pause' ? undefined : meant && actions.executionOf(job, meant)))
  execution?.catch(() => undefined)
  if (question === 'pause')
    return <PauseDialog what={name} onPause={(reasons) => actions.pause(job, reasons)} onClose={onClose} />
  const isRetry = question === 'retry'
  return (
    <FormDialog
      title={isRetry ? `Retry ${name} from there` : `Reset ${name}`}
      action={isRetry ? 'Reset and start' : 'Reset'}
      isDangerous={!isRetry}
      onClose={onClose}
      onSubmit={async (form) => {
        const checkpoint = await actions.reset(job, textOf(form, 'checkpoint'), await execution)
        if (isRetry) await actions.startFrom(job, checkpoint)
      }}
    >
      <Moved job={job} meant={meant} />
      <p>
        Sets where the next run begins.
        {isIngestion(job) && ' The records of the target stay.'}
        {isRetry && ' The job starts at once.'}
      </p>
      <Field
        label="Checkpoint"
        hint={`JSON, ${isIngestion(job) ? checkpointForm(job) : 'as the job saves it'}. Empty: the beginning.`}
      >
        {(names) => (
          <textarea
            {...names}
            name="checkpoint"
            rows={3}
            spellcheck={false}
            class="code"
            defaultValue={checkpoint ?? textOfCheckpoint(job)}
          />
        )}
      </Field>
    </FormDialog>
  )
}

/** How a checkpoint is given. That of a cursor has the names of its columns, as the field shows them. */
function checkpointForm({ status }: Job): string {
  const hasCursor = Object(checkpointOf(status)).cursor !== undefined
  return hasCursor ? 'with a value for each column of the cursor' : 'such as {"lastId":"1000"}'
}

/** Where the next run would begin anyway. */
function textOfCheckpoint({ status }: Job): string {
  const checkpoint = checkpointOf(status)
  return checkpoint === undefined ? '' : JSON.stringify(checkpoint)
}

function ParamsField({ job }: { job: Job }) {
  const { params = {} } = detailOf(job.status)
  return (
    <Field
      label="Parameters"
      hint={Object.keys(params).length > 0 ? "A JSON object. The last run's values are filled in." : 'A JSON object.'}
    >
      {(names) => (
        <textarea
          {...names}
          name="params"
          rows={6}
          spellcheck={false}
          class="code"
          required
          defaultValue={JSON.stringify(params, undefined, 2)}
        />
      )}
    </Field>
  )
}

function textOf(form: FormData, field: string): string {
  return String(form.get(field) ?? '').trim()
}

/** Whether a job reads records, which can be read again. */
export function isIngestion({ type }: Job): boolean {
  return isIngestionType(type)
}
