import type { ComponentChildren } from 'preact'
import { useLayoutEffect, useRef } from 'preact/hooks'
import { announced } from '../data/announced.js'
import { clockOffset } from '../data/clock.js'
import { formatDuration, timeZone } from '../data/format.js'
import { jobs, jobsError, lastRead } from '../data/jobs.js'
import { closeNotice, notices } from '../data/notices.js'
import { home, linkTo, route, wholeLog } from '../data/route.js'
import { type Connection, connection, reasonOf } from '../data/server.js'
import { readOnly, title } from '../data/settings.js'
import { nextTheme, theme } from '../data/theme.js'
import { Coded } from '../parts/coded.js'
import { Icon, type IconName } from '../parts/icon.js'
import { Time } from '../parts/time.js'
import { PauseBanner } from './pauses.js'

/** What surrounds every view. */
export function Shell({ children }: { children: ComponentChildren }) {
  return (
    <>
      <button type="button" class="skip" onClick={focusMain}>
        Skip to the content
      </button>
      <header class="top">
        <a class="brand" href={linkTo(home)}>
          <span class="brand-mark">
            <Icon name="gate" />
          </span>
          <bdi>{title}</bdi>
        </a>
        <nav aria-label="Views">
          <NavLink href={linkTo(home)} text="Jobs" isCurrent={route.value.view !== 'log'} />
          <NavLink href={linkTo(wholeLog)} text="Log" isCurrent={route.value.view === 'log'} />
        </nav>
        <div class="top-right">
          {readOnly && (
            <span class="pill">
              <Icon name="lock" />
              Read-only
            </span>
          )}
          <ConnectionPill />
          <ThemeButton />
        </div>
      </header>
      <Banner />
      <PauseBanner />
      <main id="main" tabIndex={-1}>
        {children}
      </main>
      <footer class="foot">
        <span>
          Times in <bdi>{timeZone}</bdi>
        </span>
        {clockOffset.value !== 0 && (
          <span>
            This device's clock is {formatDuration(Math.abs(clockOffset.value))}{' '}
            {clockOffset.value > 0 ? 'behind' : 'ahead of'} the server's. Times are the server's.
          </span>
        )}
      </footer>
      <p class="visually-hidden" role="status">
        {announced.value}
      </p>
      <Notices />
    </>
  )
}

/** Scrolls the row that has the focus to above the notices. */
function uncoverFocus(shown: Element | null): void {
  const { activeElement: active } = document
  if (!shown?.firstElementChild || !active?.closest('main, .banner') || active.tagName === 'MAIN') return
  const row = (active.closest('tr, li') ?? active).getBoundingClientRect()
  const hidden = Math.min(row.bottom, row.top + innerHeight / 2) - shown.getBoundingClientRect().top
  if (hidden > 0) scrollBy(0, hidden + 16)
}

/** Moves the focus into the view, past what surrounds it. */
function focusMain(): void {
  document.querySelector<HTMLElement>('main')?.focus()
}

function NavLink({ href, text, isCurrent }: { href: string; text: string; isCurrent: boolean }) {
  return (
    <a href={href} aria-current={isCurrent ? 'page' : undefined}>
      {text}
    </a>
  )
}

const connections: Record<Connection, { icon: IconName; text: string; tone: string }> = {
  connecting: { icon: 'running', text: 'Connecting', tone: 'muted' },
  live: { icon: 'successful', text: 'Live', tone: 'successful' },
  polling: { icon: 'repeat', text: 'Every 5 s', tone: 'muted' },
  offline: { icon: 'offline', text: 'Offline', tone: 'error' },
  expired: { icon: 'lock', text: 'Logged out', tone: 'error' },
  forbidden: { icon: 'lock', text: 'Forbidden', tone: 'error' },
}

function ConnectionPill() {
  const { icon, text, tone } = connections[connection.value]
  return (
    <span class={`pill is-${tone}`} role="status">
      <Icon name={icon} />
      <span class="pill-text">{text}</span>
    </span>
  )
}

/** Says what keeps the page from being current. */
function Banner() {
  if (connection.value === 'offline')
    return (
      <div class="banner is-error" role="alert">
        <Icon name="offline" />
        <p>
          <strong>The server does not answer.</strong> The page tries again by itself. What it shows is of{' '}
          <Time at={lastRead.value + clockOffset.value} />.
        </p>
      </div>
    )
  if (connection.value === 'expired')
    return (
      <div class="banner is-error" role="alert">
        <Icon name="lock" />
        <p>
          <strong>Your login has expired.</strong> Log in again, here or in another tab. This view stays as it is.
        </p>
        <button type="button" class="button is-primary" onClick={() => location.reload()}>
          Log in again
        </button>
      </div>
    )
  if (connection.value === 'forbidden')
    return (
      <div class="banner is-error" role="alert">
        <Icon name="lock" />
        <p>
          <strong>You may not list the jobs of this server.</strong> A link to one of your jobs may still work.
        </p>
      </div>
    )
  if (jobs.value !== undefined && jobsError.value !== undefined)
    return (
      <div class="banner is-error" role="alert">
        <Icon name="error" />
        <p>
          <strong>The jobs cannot be read.</strong> {reasonOf(jobsError.value)} What the page shows is of{' '}
          <Time at={lastRead.value + clockOffset.value} />.
        </p>
      </div>
    )
  return null
}

const themeIcons = { auto: 'auto', light: 'sun', dark: 'moon' } as const

function ThemeButton() {
  const label = `Theme: ${theme.value}`
  return (
    <button type="button" class="icon-button" aria-label={label} title={label} onClick={nextTheme}>
      <Icon name={themeIcons[theme.value]} />
    </button>
  )
}

function Notices() {
  const ref = useRef<HTMLDivElement>(null)
  useLayoutEffect(() => uncoverFocus(ref.current), [notices.value])
  return (
    <div ref={ref} class="notices" role="status" aria-live="polite">
      {notices.value.map((notice) => (
        <div key={notice.id} class={`notice ${notice.isError ? 'is-error' : ''}`}>
          <Icon name={notice.isError ? 'error' : 'successful'} />
          <p>
            <Coded text={notice.text} />
          </p>
          <button type="button" class="icon-button" aria-label="Close the notice" onClick={() => closeNotice(notice)}>
            <Icon name="close" />
          </button>
        </div>
      ))}
    </div>
  )
}
