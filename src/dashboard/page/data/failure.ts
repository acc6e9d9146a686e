import type { FailedStatus } from './detail.js'
import { detailOf } from './detail.js'
import { formatCount, formatDuration, nameOf } from './format.js'

/** The messages from what failed to why. The place has a field of its own, and a message that only repeats its cause behind its own words is shown without it. */
export function causesOf(status: FailedStatus): string[] {
  const { place } = detailOf(status).failure ?? {}
  const messages = status.error.filter((message) => message !== place)
  return messages.map((message, at) => withoutCause(message, messages[at + 1])).filter((text) => text !== '')
}

function withoutCause(message: string, cause: string | undefined): string {
  if (!cause || !message.endsWith(cause)) return message
  return message.slice(0, -cause.length).trimEnd().replace(/:$/, '')
}

/** When an execution was accepted: its id begins with that time, if it is a UUID of version 7. */
export function acceptedAt(executionId: string | undefined): number | undefined {
  const uuid = /([\da-f]{8})-([\da-f]{4})-7[\da-f]{3}-[\da-f]{4}-[\da-f]{12}$/.exec(executionId ?? '')
  return uuid ? Number.parseInt(`${uuid[1]}${uuid[2]}`, 16) : undefined
}

/** How often an execution has tried, as a part of a sentence. */
export function attemptText(attempts: number): string {
  return attempts === 1 ? 'in its first attempt' : `in attempt ${formatCount(attempts)}`
}

/** All that the page shows of a failure, as a text for a ticket or a chat. */
export function reportOf(status: FailedStatus): string {
  const { executionId = '', node, failure, params, log = [] } = detailOf(status)
  const { code, isTransient, attempts = 1, place, stack, retries = [] } = failure ?? {}
  const took = formatDuration(status.endTime - status.startTime)
  const facts = {
    Execution: executionId,
    Node: node,
    Began: isoOf(status.startTime),
    Failed: `${isoOf(status.endTime)}, after ${took}${failure ? ` ${attemptText(attempts)}` : ''}`,
    Count: `${status.count}${status.lastId === undefined ? '' : `, last id ${status.lastId}`}`,
    Place: place,
    Code: code && `${code}, ${isTransient ? '' : 'not '}transient`,
  }
  const lines = Object.entries(facts).flatMap(([name, value]) => (value ? `${name}: ${value}` : []))
  const parts = [
    [`Job ${nameOf(status)} failed.`, ...lines],
    [
      'Why:',
      ...causesOf(status).map((text, at) => `${'  '.repeat(Math.min(at, 9))}${at > 0 ? 'because ' : ''}${text}`),
    ],
    retries.length > 0 && ['Earlier attempts:', ...retries.map(({ time, error }) => `${isoOf(time)} ${error}`)],
    stack && ['Stack:', stack],
    params && ['Parameters:', JSON.stringify(params, undefined, 2)],
    log.length > 0 && ['Last log lines:', ...log.slice(-10)],
  ]
  return parts.flatMap((part) => (part ? part.join('\n') : [])).join('\n\n')
}

function isoOf(time: number): string {
  return Math.abs(time) > 8.64e15 ? String(time) : new Date(time).toISOString()
}

/** Copies a text. Where a page may not use the clipboard, as without HTTPS, a field that is selected does. */
export async function copyText(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text)
  } catch {
    const field = Object.assign(document.createElement('textarea'), { value: text, readOnly: true })
    const before = document.activeElement
    document.body.append(field)
    field.select()
    const isCopied = document.execCommand('copy')
    field.remove()
    if (before instanceof HTMLElement) before.focus()
    if (!isCopied) throw new TypeError('The browser does not let the page copy.')
  }
}
