import type { Redactor } from '../../adapter.js'

/** How many logs are remembered: readers ask for the same ones again and again. */
const maxKnown = 16

/** Maximum length of a line, in characters. */
const maxLine = 1000

/** Maximum length of the JSON of all lines of a log, in characters. */
export const maxShownLog = 32_768

/** The time at the beginning of a line, in which nothing is secret. */
const timeOfLine = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z /

/** A log as it is stored, line by line as it is redacted, and what of it is shown. */
interface KnownLog {
  readonly lines: readonly string[]
  readonly redacted: readonly string[]
  readonly shown: readonly string[]
}

/** Redacts and bounds the logs of executions. Their lines were redacted when they were written, unless that was by others. */
export class ShownLogs {
  readonly #redactor: Redactor
  readonly #known = new Map<string, KnownLog>()

  constructor(redactor: Redactor) {
    this.#redactor = redactor
  }

  /** The last lines that fit. The first one says how many do not. */
  of(executionId: string, lines: readonly string[]): readonly string[] {
    const before = this.#known.get(executionId)
    if (before && lines.length === before.lines.length && overlap(before.lines, 0, lines) === lines.length)
      return before.shown
    const redacted = this.#redacted(lines, before)
    const shown = fitting(redacted)
    if (!before && this.#known.size >= maxKnown) this.#known.delete(this.#known.keys().next().value ?? '')
    this.#known.set(executionId, { lines, redacted, shown })
    return shown
  }

  /** The lines of a log, of which the first may be the last ones of before. */
  #redacted(lines: readonly string[], before: KnownLog | undefined): readonly string[] {
    const start = before?.lines.indexOf(lines[0] ?? '') ?? -1
    const same = before && start >= 0 ? overlap(before.lines, start, lines) : 0
    const known = before?.redacted.slice(start, start + same) ?? []
    return [...known, ...lines.slice(same).map((line) => this.#line(line))]
  }

  #line(line: string): string {
    const [time = ''] = timeOfLine.exec(line) ?? []
    return time + this.#redactor.shorten(line.slice(time.length), maxLine)
  }
}

/** How many lines of `before`, from `start` on, are the first ones of `lines`. */
function overlap(before: readonly string[], start: number, lines: readonly string[]): number {
  let same = 0
  while (start + same < before.length && same < lines.length && before[start + same] === lines[same]) same++
  return same
}

function fitting(lines: readonly string[]): readonly string[] {
  let left = maxShownLog
  for (let at = lines.length - 1; at >= 0; at--) {
    left -= JSON.stringify(lines[at]).length
    if (left < 0) return [`${at + 1} earlier lines are left out.`, ...lines.slice(at + 1)]
  }
  return lines
}
