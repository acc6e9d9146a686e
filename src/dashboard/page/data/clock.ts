import { signal } from '@preact/signals'

/** Smaller differences come from the network, and from `Date` headers, which have whole seconds. */
const ignored = 5000

/** How far the clock of the server is ahead of the one of this browser, in milliseconds. */
export const clockOffset = signal(0)

/** The time of the server, by the second. */
export const seconds = signal(Date.now())

/** The time of the server, by the minute: for texts that say no seconds. */
export const minutes = signal(Date.now())

/** Takes the clock of the server from an answer. */
export function readClock(response: Response): void {
  const date = Date.parse(response.headers.get('date') ?? '')
  const offset = date - Date.now()
  if (Number.isFinite(offset) && Math.abs(offset - clockOffset.value) > ignored)
    clockOffset.value = Math.abs(offset) > ignored ? offset : 0
}

/** The time of the server now. */
export function now(): number {
  return Date.now() + clockOffset.value
}

/** Lets the times on the page advance, while somebody can see them. */
export function startClock(): void {
  const tick = () => {
    if (document.hidden) return
    seconds.value = now()
    if (Math.abs(seconds.value - minutes.value) >= 30_000) minutes.value = seconds.value
  }
  setInterval(tick, 1000)
  document.addEventListener('visibilitychange', tick)
}
