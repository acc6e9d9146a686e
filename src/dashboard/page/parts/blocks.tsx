import type { ComponentChildren } from 'preact'
import { formatCount } from '../data/format.js'
import { reasonOf } from '../data/server.js'
import { Coded } from './coded.js'
import { Icon, type IconName } from './icon.js'

/** A part of a view with a heading. */
export function Section(props: {
  title: string
  count?: number | undefined
  aside?: ComponentChildren
  children: ComponentChildren
  name?: string
}) {
  const { title, count, aside, children, name } = props
  return (
    <section class={`section ${name ?? ''}`} aria-label={title}>
      <div class="section-head">
        <h2 tabIndex={-1} aria-label={count === undefined ? undefined : `${title}, ${formatCount(count)}`}>
          {title}
          {count !== undefined && <span class="count">{formatCount(count)}</span>}
        </h2>
        {aside}
      </div>
      {children}
    </section>
  )
}

/** What stands where there is nothing, and why. */
export function Empty({ icon, title, children }: { icon: IconName; title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <Icon name={icon} />
      <p class="empty-title">{title}</p>
      {children && <p class="muted">{children}</p>}
    </div>
  )
}

/** What stands where something could not be read. */
export function Failure({ title, error, onRetry }: { title: string; error: unknown; onRetry: () => void }) {
  return (
    <div class="empty is-error" role="alert">
      <Icon name="error" />
      <p class="empty-title">{title}</p>
      <p class="muted">
        <Coded text={reasonOf(error)} />
      </p>
      <button type="button" class="button" onClick={onRetry}>
        <Icon name="repeat" />
        Try again
      </button>
    </div>
  )
}

/** What stands where something will be in a moment. */
export function Loading({ rows = 4 }: { rows?: number }) {
  return (
    <div class="loading" role="status" aria-label="Loading">
      {Array.from({ length: rows }, (_, index) => (
        <div key={index} class="skeleton" />
      ))}
    </div>
  )
}

/** A table of names and values. Values that are absent are left out. */
export function Facts({ facts }: { facts: Readonly<Record<string, ComponentChildren>> }) {
  const given = Object.entries(facts).filter(([, value]) => value !== undefined && value !== false && value !== '')
  return (
    <dl class="facts">
      {given.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  )
}
