import { useId, useState } from 'preact/hooks'
import { type ShownState, stateWords } from '../data/detail.js'
import { formatCount, formatTime, visible } from '../data/format.js'
import { sortedJobs } from '../data/jobs.js'
import { type LogQuery, linkTo, replaceRoute, wholeLog } from '../data/route.js'
import { type Choice, Combobox } from '../parts/combobox.js'
import { Icon } from '../parts/icon.js'
import { JobName } from '../parts/job-name.js'

/** The states that the log can be asked for: those that have ended first. */
export const loggedStates = ['error', 'successful', 'aborted', 'running', 'aborting', 'queued'] as const

/** How many jobs are listed at once. */
const maxChoices = 50

/** The filters of the log: what can be chosen, and what is chosen. */
export function LogFilters(props: {
  query: LogQuery
  total: number | undefined
  totals: ReadonlyMap<string, number> | undefined
}) {
  const { query, total, totals } = props
  const id = useId()
  const [isOpen, setOpen] = useState(false)
  const hidden = [query.state, query.from, query.to].filter((text) => text !== '').length
  const change = (event: Event) => {
    const form = (event.target as HTMLInputElement).form as HTMLFormElement
    const given = Object.fromEntries(new FormData(form)) as Record<string, string>
    set({ ...query, ...given })
  }
  return (
    <search aria-label="Filter the log">
      <form class="filters" onSubmit={(event) => event.preventDefault()} onChange={change}>
        <Combobox label="Job" placeholder="Find by type or id" shortcut="/" find={(text) => jobsLike(text, query)} />
        {/* Only a small screen has it: what is behind it would leave no room for the runs. */}
        <button
          type="button"
          class="button filters-button"
          aria-expanded={isOpen}
          aria-controls={id}
          onClick={() => setOpen(!isOpen)}
        >
          <Icon name="filter" />
          Filters{hidden > 0 && <span class="count">{hidden} active</span>}
        </button>
        <div id={id} class={`more-filters ${isOpen ? '' : 'is-closed'}`}>
          <label class="filter">
            <span>Began from</span>
            <input type="datetime-local" name="from" value={query.from} />
          </label>
          <label class="filter">
            <span>Began up to</span>
            <input type="datetime-local" name="to" value={query.to} />
          </label>
          <fieldset class="states">
            <legend class="visually-hidden">State</legend>
            {['', ...loggedStates].map((state) => (
              <label key={state} class={`is-${state || 'none'}`}>
                <input type="radio" name="state" value={state} checked={query.state === state} />
                {state === '' ? 'Ended' : stateWords[state as ShownState]}
                {totals?.has(state) && <span class="count">{formatCount(totals.get(state) ?? 0)}</span>}
              </label>
            ))}
          </fieldset>
        </div>
      </form>
      <Chips query={query} total={total} />
    </search>
  )
}

function set(query: LogQuery): void {
  replaceRoute({ view: 'log', query: { ...query, page: '' } })
}

/** The jobs whose type and id have a text as a part. A job that is not listed any more is found by its whole id. */
function jobsLike(text: string, query: LogQuery): { choices: Choice[]; more: number } {
  const part = text.trim().toLowerCase()
  const rank = ({ id }: { id: string }) => (id.toLowerCase().startsWith(part) ? 0 : 1)
  const jobs = sortedJobs.value
    .filter(({ type, id }) => `${type}/${id}`.toLowerCase().includes(part))
    .sort((one, other) => rank(one) - rank(other))
  const types = [...new Set(sortedJobs.value.map(({ type }) => type))].filter((type) =>
    type.toLowerCase().includes(part),
  )
  const choiceOf = (key: string, label: Choice['label'], names: Partial<LogQuery>): Choice => ({
    ...{ key, label },
    onPick: () => set({ ...query, type: '', id: '', ...names }),
  })
  const choices = [
    ...(types.length > 1 || part !== '' ? types.slice(0, 5) : []).map((type) =>
      choiceOf(`type ${type}`, <>All of the type {visible(type)}</>, { type }),
    ),
    ...jobs
      .slice(0, maxChoices)
      .map(({ key, type, id }) => choiceOf(key, <JobName type={type} id={id} />, { type, id })),
  ]
  if (part !== '' && !jobs.some(({ id }) => id === text.trim()))
    choices.push(choiceOf('whole', <>The whole id “{visible(text.trim())}”</>, { id: text.trim() }))
  return { choices, more: Math.max(0, jobs.length - maxChoices) }
}

/** What is chosen, each to be removed, and how many runs are like that. */
function Chips({ query, total }: { query: LogQuery; total: number | undefined }) {
  const { type, id, state, from, to } = query
  const timeOf = (text: string) => (Number.isFinite(Date.parse(text)) ? formatTime(Date.parse(text)) : text)
  const chips = [
    type !== '' && id !== '' && (['Job', `${type}/${id}`, { type: '', id: '' }] as const),
    type !== '' && id === '' && (['Type', type, { type: '' }] as const),
    type === '' && id !== '' && (['Id', id, { id: '' }] as const),
    state !== '' && (['State', stateWords[state as ShownState] ?? state, { state: '' }] as const),
    from !== '' && (['From', timeOf(from), { from: '' }] as const),
    to !== '' && (['Up to', timeOf(to), { to: '' }] as const),
  ].filter((chip) => chip !== false)
  return (
    <div class="chips">
      <span role="status">
        {total !== undefined && (
          <>
            <strong>{formatCount(total)}</strong> {total === 1 ? 'run' : 'runs'}
          </>
        )}
      </span>
      {chips.map(([name, value, without]) => (
        <button key={name} type="button" class="chip" onClick={() => set({ ...query, ...without })}>
          <span class="visually-hidden">Remove the filter</span> <span class="muted">{name}</span>{' '}
          <bdi class="cut-text">{visible(value)}</bdi>
          <Icon name="close" />
        </button>
      ))}
      {chips.length > 1 && <a href={linkTo(wholeLog)}>Clear all</a>}
    </div>
  )
}
