import { type BatchOptions, type Column, JobError } from '../../../adapter.js'
import type { BinaryForm } from './binary-form.js'
import { int32, readText } from './encoded-rows.js'
import type { RowFormat } from './portal.js'

/** Rows with text values. */
const textFormat: RowFormat = { name: 'postgres-text', isBinary: false, read: readText }

/**
 * Uses the binary format when the target takes such rows and every column that is read can be decoded. Otherwise uses
 * text. The target gets the name of its form with a column.
 */
export function formatOf(
  forms: readonly (BinaryForm | undefined)[],
  columns: readonly Column[],
  { encoded }: BatchOptions,
): RowFormat {
  const typed = columns.flatMap((column, index) => {
    const form = forms[index]
    return form && (form.read || !encoded?.keys.includes(column.name)) ? { ...column, form: form.name } : []
  })
  const isTaken = typed.length === columns.length && encoded?.accepts('postgres-binary', typed)
  return isTaken ? binaryFormat(forms as readonly BinaryForm[]) : textFormat
}

function binaryFormat(forms: readonly BinaryForm[]): RowFormat {
  const checks = forms.map(({ isIntact }) => isIntact)
  return {
    name: 'postgres-binary',
    isBinary: true,
    read: (column, bytes, start, end) => (forms[column]?.read ?? unreadable)(bytes, start, end),
    ...(checks.some(Boolean) && { isIntact: (chunk) => isIntact(checks, chunk) }),
  }
}

function unreadable(): never {
  throw new JobError('datasource', 'Expected a target that passes encoded rows on unread, got one that reads them.')
}

/** Whether the composite types of all values in complete tuples are those of their forms. */
function isIntact(checks: readonly BinaryForm['isIntact'][], chunk: Buffer): boolean {
  for (let at = 0; at < chunk.length; ) {
    at += 2
    for (const check of checks) {
      const length = int32(chunk, at)
      at += 4
      if (length < 0) continue
      if (check && !check(chunk, at, at + length)) return false
      at += length
    }
  }
  return true
}
