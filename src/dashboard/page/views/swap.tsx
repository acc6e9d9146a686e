import { fieldsOf, numberOf } from '../data/detail.js'
import { formatCount } from '../data/format.js'
import { Section } from '../parts/blocks.js'
import { Time } from '../parts/time.js'

const ways: Record<string, string> = {
  rename: 'A new table has taken the place of the old one',
  rows: 'The rows of the table were replaced',
  file: 'A new file has taken the place of the old one',
  truncate: 'The table was emptied before the first new records',
}

/** What a target has replaced: how many records it held before, and holds now. */
export function Swap({ progress }: { progress: Readonly<Record<string, unknown>> }) {
  const { how, before, after, time } = fieldsOf(progress.replaced)
  if (typeof how !== 'string') return null
  const counts = [
    ['before', numberOf(before)],
    ['after', numberOf(after)],
  ] as const
  const most = Math.max(1, ...counts.map(([, count]) => count ?? 0))
  const [was, is] = counts.map(([, count]) => count)
  const change = was === undefined || is === undefined ? undefined : is - was
  return (
    <Section title="Replaced" name="replaced">
      <div class="card">
        <p>
          {ways[how] ?? how}
          {Number.isFinite(Date.parse(String(time))) && (
            <span class="muted">
              {' '}
              · <Time at={Date.parse(String(time))} />
            </span>
          )}
          {change !== undefined && (
            <>
              {' · '}
              <strong>
                {change > 0 ? '+' : change < 0 ? '−' : '±'}
                {formatCount(Math.abs(change))}
              </strong>{' '}
              records
            </>
          )}
        </p>
        <div class="swap">
          {counts.map(([name, count]) =>
            count === undefined ? null : (
              <>
                <span class="muted">{name}</span>
                <span>
                  <span
                    class={`swap-bar is-${name}`}
                    style={{ display: 'block', width: `${(100 * count) / most}%` }}
                    aria-hidden="true"
                  />
                </span>
                <span class="number">{formatCount(count)}</span>
              </>
            ),
          )}
        </div>
      </div>
    </Section>
  )
}
