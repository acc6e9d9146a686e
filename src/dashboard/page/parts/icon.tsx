import type { JSX } from 'preact'

/** Shapes on a grid of 16. Each state has its own, so that nobody needs its colour. */
const shapes = {
  queued: <circle cx="8" cy="8" r="5.5" stroke-dasharray="2.4 2.2" />,
  running: (
    <>
      <circle cx="8" cy="8" r="5.5" opacity=".25" />
      <path class="turning" d="M8 2.5A5.5 5.5 0 0 1 13.5 8" />
    </>
  ),
  aborting: (
    <>
      <circle cx="8" cy="8" r="5.5" opacity=".25" />
      <path class="turning" d="M8 2.5A5.5 5.5 0 0 1 13.5 8" />
      <rect class="filled" x="6" y="6" width="4" height="4" rx=".5" />
    </>
  ),
  aborted: (
    <>
      <circle cx="8" cy="8" r="5.5" />
      <rect class="filled" x="5.75" y="5.75" width="4.5" height="4.5" rx=".75" />
    </>
  ),
  error: (
    <>
      <path class="filled" d="M5.4 1.5h5.2l3.9 3.9v5.2l-3.9 3.9H5.4l-3.9-3.9V5.4z" />
      <path class="cut" d="m5.8 5.8 4.4 4.4m0-4.4-4.4 4.4" />
    </>
  ),
  successful: (
    <>
      <circle class="filled" cx="8" cy="8" r="6.5" />
      <path class="cut" d="m5 8.2 2.1 2.1L11 6.2" />
    </>
  ),
  never: <path d="M4.5 8h7" />,
  paused: <path d="M5.75 4v8m4.5-8v8" stroke-width="2.2" />,
  scheduled: (
    <>
      <circle cx="8" cy="8" r="5.5" />
      <path d="M8 4.8V8l2.2 1.4" />
    </>
  ),
  health: <path d="M1.5 8.5h3l2-5 3 9 2-4h3" />,
  arrow: <path d="m6 3.5 4.5 4.5L6 12.5" />,
  back: <path d="M10 3.5 5.5 8l4.5 4.5" />,
  close: <path d="m4 4 8 8m0-8-8 8" />,
  more: <path d="M3.5 8h.01M8 8h.01M12.5 8h.01" stroke-width="2.4" />,
  filter: <path d="M2 4h12M4.5 8h7M6.5 12h3" />,
  search: (
    <>
      <circle cx="7" cy="7" r="4.25" />
      <path d="m10.2 10.2 3.3 3.3" />
    </>
  ),
  play: <path class="filled" d="M5 3.2v9.6L12.5 8z" />,
  stop: <rect class="filled" x="4" y="4" width="8" height="8" rx="1" />,
  repeat: <path d="M13 8a5 5 0 1 1-1.6-3.7M13 2.5v2.8h-2.8" />,
  sun: (
    <>
      <circle cx="8" cy="8" r="2.75" />
      <path d="M8 1.5v1.6m0 9.8v1.6M1.5 8h1.6m9.8 0h1.6M3.4 3.4l1.1 1.1m7 7 1.1 1.1m0-9.2-1.1 1.1m-7 7-1.1 1.1" />
    </>
  ),
  moon: <path d="M13.2 9.6A5.6 5.6 0 0 1 6.4 2.8a5.6 5.6 0 1 0 6.8 6.8z" />,
  auto: (
    <>
      <circle cx="8" cy="8" r="5.5" />
      <path class="filled" d="M8 2.5a5.5 5.5 0 0 1 0 11z" />
    </>
  ),
  gate: <path d="M3 13.5v-11m10 11v-11M3 5h10M3 9h10" stroke-width="1.8" />,
  offline: <path d="M2 2l12 12M3.3 8.3a6.8 6.8 0 0 1 2.5-1.6m3 0a6.8 6.8 0 0 1 3.9 1.6M8 12.5h.01" />,
  place: <path d="M8 14.5s4.5-4.2 4.5-7.7a4.5 4.5 0 1 0-9 0c0 3.5 4.5 7.7 4.5 7.7zM8 6.8h.01" />,
  copy: <path d="M6 5.5h7.5v8H6zM10 5.5v-3H2.5v8H6" />,
  lock: (
    <>
      <rect x="3.5" y="7" width="9" height="6.5" rx="1.5" />
      <path d="M5.5 7V5a2.5 2.5 0 0 1 5 0v2" />
    </>
  ),
} satisfies Record<string, JSX.Element>

/** The name of a shape. */
export type IconName = keyof typeof shapes

/** A shape beside a word that says the same. */
export function Icon({ name }: { name: IconName }) {
  return (
    <svg class={`icon icon-${name}`} viewBox="0 0 16 16" aria-hidden="true">
      {shapes[name]}
    </svg>
  )
}
