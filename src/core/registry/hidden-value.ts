import { invalid, jsonCopyOf } from '../base/index.js'
import { type JobParams, keptParams } from '../model/index.js'
import type { Redactor } from '../redaction/index.js'

/** What an answer shows in place of a secret. */
const mark = '***'

/** Stands for a secret that is tried. It looks like one, and like no word. */
const sample = 'Zq7wX3vK9p'

/** What an answer shows in place of data that is too large. */
const cutText = / \(shortened from \d{1,9} characters\)$/
const leftOut = /^(?:\d{1,9} more (?:is|are) left out\.|Left out, as it is nested in more than \d{1,3} levels\.)$/

/** Throws `invalid_options` when a value has, at any depth, what an answer shows in place of the real data. */
export function checkNothingHidden(field: string, value: unknown, redactor: Redactor): void {
  check(field, jsonCopyOf(value), redactor)
}

/** A copy of the parameters of a start. Throws `invalid_options` for those that no storage keeps, and for those of an answer that hides some. */
export function startParams(params: JobParams, redactor: Redactor): JobParams {
  const kept = keptParams(params)
  checkNothingHidden('params', kept, redactor)
  return kept
}

function check(field: string, value: unknown, redactor: Redactor): void {
  if (typeof value === 'string') checkText(field, value, redactor)
  if (typeof value !== 'object' || value === null) return
  const isList = Array.isArray(value)
  for (const [name, inner] of Object.entries(value))
    check(isList ? `${field}[${name}]` : `${field}.${name}`, inner, redactor)
}

function checkText(field: string, text: string, redactor: Redactor): void {
  const what = isRedacted(text, redactor)
    ? `an answer shows \`${mark}\` for a secret`
    : (cutText.test(text) || leftOut.test(text)) && 'an answer leaves out what is too long'
  if (what) throw invalid(field, `the value itself, as ${what}, and \`registry.status\` in code shows it`, text)
}

/** Whether redacting makes this text of another one. A title such as `*** Sale ***` is what it is. */
function isRedacted(text: string, redactor: Redactor): boolean {
  if (!text.includes(mark)) return false
  return text === mark || redactor.redact(text.replaceAll(mark, sample)) === text
}
