import type { Redactor } from '../redaction/index.js'
import { chain, read } from './errors.js'

/** A line of a stack that names a place in the code. */
const frame = /^ {4}at /

/** A frame of the platform or of a package. */
const foreign = /\(?(node:|internal\/|native\b)|[\\/]node_modules[\\/]/

/** Maximum number of frames, and of characters of the message above them. */
const maxFrames = 20
const maxHead = 200

/**
 * The stack of the innermost error that was thrown in the application, or else of the innermost one: the name, the beginning of the message,
 * and the frames. `undefined` when no error has frames. Secrets are redacted.
 */
export function stackOf(error: unknown, redactor: Pick<Redactor, 'shorten'>, maxLength: number): string | undefined {
  const links = [...chain(error)]
    .map((link) => ({ link, lines: framesOf(link) }))
    .filter(({ lines }) => lines.length > 0)
  const own = links.findLast(({ lines }) => lines.some((line) => !foreign.test(line)))
  const shown = own ?? links.at(-1)
  return shown && stackText(shown.link, shown.lines, redactor).slice(0, maxLength)
}

function framesOf(link: unknown): string[] {
  const stack = read(link, 'stack')
  if (typeof stack !== 'string') return []
  // A message may have millions of lines.
  const start = stack.indexOf('\n    at ')
  if (start < 0) return []
  const lines = stack.slice(start + 1, start + 20_000).split('\n')
  return lines.filter((line) => frame.test(line)).slice(0, maxFrames)
}

function stackText(link: unknown, lines: readonly string[], redactor: Pick<Redactor, 'shorten'>): string {
  const [name, message] = [read(link, 'name'), read(link, 'message')]
  const head = [
    name,
    String(message ?? '')
      .split('\n', 1)[0]
      ?.slice(0, 10 * maxHead),
  ]
    .filter(Boolean)
    .join(': ')
  const frames = lines.map((line) => redactor.shorten(`    ${line.trim().replace('file://', '')}`, 400))
  return [redactor.shorten(head, maxHead), ...frames].join('\n')
}
