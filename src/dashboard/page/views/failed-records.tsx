import { useEffect } from 'preact/hooks'
import { fieldsOf, numberOf } from '../data/detail.js'
import { formatCount } from '../data/format.js'
import { route } from '../data/route.js'
import { Section } from '../parts/blocks.js'
import { LongText } from '../parts/long-text.js'
import { Time } from '../parts/time.js'

/** A record that was set aside, with why. */
interface FailedRecord {
  readonly key: string
  readonly time: number
  readonly phase: string
  readonly error: readonly string[]
  readonly record: unknown
}

const phases: Record<string, string> = {
  schema: 'does not fit the schema',
  transform: 'the transform failed',
  target: 'the target refused it',
}

/** The last records that failed, newest first: what is wrong with each, and the record itself where the server shows it. */
export function FailedRecords({ progress }: { progress: Readonly<Record<string, unknown>> }) {
  const { latestFailures } = progress
  const failures = Array.isArray(latestFailures) ? latestFailures.map(failureOf).reverse() : []
  const total = numberOf(progress.failed) ?? failures.length
  const { value: shown } = route
  useEffect(() => {
    if (total > 0 && shown.view === 'job' && shown.toFailures) showFailedRecords()
  }, [shown, total > 0])
  if (total === 0) return null
  return (
    <Section title="Failed records" count={total}>
      <div class="card failures">
        <Reasons failures={failures} />
        <ul>
          {failures.map((failure) => (
            <Failure key={failure.key} failure={failure} />
          ))}
        </ul>
        <p class="note">
          {total > failures.length &&
            failures.length > 0 &&
            `These are the last ${failures.length} of ${formatCount(total)}. `}
          Each is set aside with its reason: in the dead letters of the job, where it has some.
        </p>
      </div>
    </Section>
  )
}

/** Brings the records that failed into view, where the view has them. */
export function showFailedRecords(): void {
  const heading = document.querySelector<HTMLElement>('[aria-label="Failed records"] h2')
  heading?.closest('section')?.scrollIntoView()
  heading?.focus({ preventScroll: true })
}

/** The reason that all of them have in common, once. */
function Reasons({ failures }: { failures: readonly FailedRecord[] }) {
  const reasons = new Set(failures.map(reasonOf))
  if (failures.length < 2 || reasons.size > 1) return null
  return (
    <p class="failures-all">
      All for one reason: <strong>{[...reasons][0]?.slice(0, 300)}</strong>
    </p>
  )
}

function Failure({ failure }: { failure: FailedRecord }) {
  const { time, phase, error, record, key } = failure
  return (
    <li>
      <p>
        <strong>
          <LongText text={reasonOf(failure)} label="the reason" isMessage />
        </strong>
      </p>
      <p class="muted">
        {phases[phase] ?? phase}
        {Number.isFinite(time) && (
          <>
            {' · '}
            <Time at={time} />
          </>
        )}
        {error.length > 1 && ` · ${error[0]?.slice(0, 200)}`}
      </p>
      {record === undefined ? (
        key !== '' && <code class="muted failure-key">{key}</code>
      ) : (
        <code class="value failure-record">
          <LongText text={typeof record === 'string' ? record : JSON.stringify(record)} label="the record" />
        </code>
      )}
    </li>
  )
}

function reasonOf({ error, phase }: FailedRecord): string {
  return error.at(-1) ?? phases[phase] ?? phase
}

function failureOf(value: unknown): FailedRecord {
  const { key, time, phase, error, record } = fieldsOf(value)
  return {
    key: String(key ?? ''),
    time: Date.parse(String(time)),
    phase: String(phase ?? ''),
    error: Array.isArray(error) ? error.map(String) : [],
    record,
  }
}
