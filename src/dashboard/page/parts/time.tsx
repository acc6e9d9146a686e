import { minutes, seconds } from '../data/clock.js'
import { formatDuration, formatRelative, formatShortTime, formatTime } from '../data/format.js'

/** A time in relation to now. The absolute time is shown beside it, or when somebody points at it. */
export function Time({ at, isFull = false }: { at: number; isFull?: boolean }) {
  const isNear = Math.abs(at - seconds.peek()) < 120_000
  const relative = formatRelative(at, isNear ? seconds.value : Math.max(minutes.value, seconds.peek()))
  const absolute = formatTime(at)
  return (
    <time dateTime={isoOf(at)} title={absolute}>
      {relative}
      {isFull && <span class="muted"> · {formatShortTime(at)}</span>}
    </time>
  )
}

/** How long something has taken so far. */
export function Elapsed({ since }: { since: number }) {
  const whole = Math.floor(Math.max(0, seconds.value - since) / 1000)
  return <>{whole === 0 ? '0 s' : formatDuration(whole * 1000)}</>
}

function isoOf(time: number): string {
  return Math.abs(time) > 8.64e15 ? '' : new Date(time).toISOString()
}
