import type { FailedStatus } from './detail.js'
import { detailOf, messagesOf } from './detail.js'
import { formatCount, formatDuration, nameOf } from './format.js'

/** Why something failed: the messages from what failed to why, and at which record. */
export interface Causes {
  readonly title?: string
  readonly causes: readonly string[]
  readonly place?: string | undefined
}

/** What failed, and for a run that has set records aside each of the two failures that the server tells. */
export interface FailureTexts {
  /** What is said once for all of `blocks`. */
  readonly causes: readonly string[]
  /** At least one. */
  readonly blocks: readonly Causes[]
}

/** How the server begins the messages of the first and of the last record that has failed, of too many. */
const headings: Readonly<Record<string, string>> = {
  'The first record that failed:': 'First failed record',
  'The record that ended the run:': 'Record that ended the run',
}

/** Why a run failed. Two records that failed stand beside each other, as neither is the cause of the other. */
export function textsOf(status: FailedStatus): FailureTexts {
  const { place } = detailOf(status).failure ?? {}
  const groups: string[][] = [[]]
  for (const message of messagesOf(status)) {
    if (Object.hasOwn(headings, message)) groups.push([message])
    else groups.at(-1)?.push(message)
  }
  const [outer = [], ...records] = groups
  const own = outer.filter((message) => message !== place)
  if (records.length === 0) return { causes: [], blocks: [{ causes: chainOf(own), place }] }
  const blocks = records.map(([heading = '', ...messages]) => ({
    title: headings[heading] ?? '',
    causes: chainOf(messages.filter((message) => !isPlace(message))),
    place: messages.find(isPlace),
  }))
  const shared = sharedBy(blocks.map(({ causes }) => causes))
  return {
    causes: [...chainOf(own), ...(blocks[0]?.causes.slice(0, shared) ?? [])],
    blocks: blocks.map((block) => ({ ...block, causes: block.causes.slice(shared) })),
  }
}

/** How many messages two failures begin with alike, beside the last one of each. */
function sharedBy([one = [], other]: readonly (readonly string[])[]): number {
  if (!other) return 0
  const most = Math.min(one.length, other.length) - 1
  const at = one.findIndex((message, index) => index >= most || message !== other[index])
  return Math.max(0, at)
}

/** Whether a message says which record failed. */
function isPlace(message: string): boolean {
  return /^Batch \d+, record /.test(message) && message.includes(' of this run')
}

/** A message that only repeats its cause behind its own words is shown without it. */
function chainOf(messages: readonly string[]): string[] {
  return messages.map((message, at) => withoutCause(message, messages[at + 1])).filter((text) => text !== '')
}

function withoutCause(message: string, cause: string | undefined): string {
  if (!cause || !message.endsWith(cause)) return message
  return message.slice(0, -cause.length).trimEnd().replace(/:$/, '')
}

/** How often an execution has tried, as a part of a sentence. */
export function attemptText(attempts: number): string {
  return attempts === 1 ? 'in its first attempt' : `in attempt ${formatCount(attempts)}`
}

/** All that the page shows of a failure, as a text for a ticket or a chat. */
export function reportOf(status: FailedStatus): string {
  const { executionId = '', node, failure, params, log = [] } = detailOf(status)
  const { code, isTransient, attempts = 1, place, stack, retries = [] } = failure ?? {}
  const texts = textsOf(status)
  const took = formatDuration(status.endTime - status.startTime)
  const facts = {
    Execution: executionId,
    Node: node,
    Began: isoOf(status.startTime),
    Failed: `${isoOf(status.endTime)}, after ${took}${failure ? ` ${attemptText(attempts)}` : ''}`,
    Count: `${status.count}${status.lastId === undefined ? '' : `, last id ${status.lastId}`}`,
    Place: texts.causes.length > 0 ? undefined : place,
    Code: code && `${code}, ${isTransient ? '' : 'not '}transient`,
  }
  const lines = Object.entries(facts).flatMap(([name, value]) => (value ? `${name}: ${value}` : []))
  const parts = [
    [`Job ${nameOf(status)} failed.`, ...lines],
    ['Why:', ...linesOf(texts.causes), ...texts.blocks.flatMap((block) => (block.title ? [] : linesOf(block.causes)))],
    ...texts.blocks.map(
      ({ title, causes, place }) => title && [`${title}:`, ...(place ? [`Place: ${place}`] : []), ...linesOf(causes)],
    ),
    retries.length > 0 && ['Earlier attempts:', ...retries.map(({ time, error }) => `${isoOf(time)} ${error}`)],
    stack && ['Stack:', stack],
    params && ['Parameters:', JSON.stringify(params, undefined, 2)],
    log.length > 0 && ['Last log lines:', ...log.slice(-10)],
  ]
  return parts.flatMap((part) => (part ? part.join('\n') : [])).join('\n\n')
}

function linesOf(causes: readonly string[]): string[] {
  return causes.map((text, at) => `${'  '.repeat(Math.min(at, 9))}${at > 0 ? 'because ' : ''}${text}`)
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
