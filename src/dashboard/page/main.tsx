import { effect } from '@preact/signals'
import { render } from 'preact'
import { announceEnds } from './data/announced.js'
import { startClock } from './data/clock.js'
import { followDetails } from './data/details.js'
import { followFailedRecords } from './data/failed-records.js'
import { nameOf } from './data/format.js'
import { followHealth } from './data/health.js'
import { followJobs } from './data/jobs.js'
import { closeErrors } from './data/notices.js'
import { type Route, route, startRouting } from './data/route.js'
import { title } from './data/settings.js'
import { applyTheme } from './data/theme.js'
import { Empty } from './parts/blocks.js'
import { keepFocus } from './parts/keep-focus.js'
import './style/index.css'
import { JobView } from './views/job.js'
import { LogView } from './views/log.js'
import { Overview } from './views/overview.js'
import { Shell } from './views/shell.js'

function App() {
  return (
    <Shell>
      <View {...route.value} />
    </Shell>
  )
}

function View(shown: Route) {
  switch (shown.view) {
    case 'overview':
      return <Overview {...shown} />
    case 'job':
      return <JobView key={`${shown.type}/${shown.id}`} {...shown} />
    case 'log':
      return <LogView {...shown} />
    default:
      return (
        <>
          <h1 class="visually-hidden" tabIndex={-1}>
            Unknown view
          </h1>
          <Empty icon="search" title="There is no such view">
            <a href="#/">Show all jobs</a>
          </Empty>
        </>
      )
  }
}

/** What the title of the document says of a view. */
function titleOf(shown: Route): string {
  if (shown.view === 'job') return `${nameOf(shown)} · ${title}`
  return shown.view === 'log' ? `Log · ${title}` : title
}

applyTheme()
keepFocus()
startClock()
followJobs()
followHealth()
followDetails()
announceEnds()
followFailedRecords()
// A new view begins at its heading, for the eye and for a screen reader. A figure at the top leads to the list that it counts.
// Another page of the log or another run of the same job leaves the focus where it is: the next key may go on from there.
startRouting((before) => {
  if (isSameView(before, route.value)) return
  if (before.view !== 'overview' || route.value.view !== 'overview') closeErrors()
  const isList = route.value.view === 'overview' && route.value.show !== 'all'
  if (!isList) window.scrollTo(0, 0)
  setTimeout(() => {
    if (isList) document.querySelector('.list')?.scrollIntoView()
    document.querySelector<HTMLElement>(isList ? '.list h2' : 'h1')?.focus({ preventScroll: true })
  })
})
/** Whether another page of the log is shown, or another run of the job. */
function isSameView(before: Route, after: Route): boolean {
  if (before.view === 'log') return after.view === 'log'
  return before.view === 'job' && after.view === 'job' && before.type === after.type && before.id === after.id
}

effect(() => {
  document.title = titleOf(route.value)
})
document.addEventListener('keydown', (event) => {
  const isTyping = /^(INPUT|TEXTAREA|SELECT)$/.test((event.target as HTMLElement).tagName)
  if (event.key !== '/' || isTyping || event.ctrlKey || event.metaKey || document.querySelector('dialog[open]')) return
  const field = document.querySelector<HTMLElement>('[data-shortcut="/"]')
  if (field) event.preventDefault()
  field?.focus()
})
const app = document.getElementById('app') as HTMLElement
app.replaceChildren()
render(<App />, app)
