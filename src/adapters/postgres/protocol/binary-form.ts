import { int32 } from './encoded-rows.js'

/** Returns a field's text as the server would write it, in ISO style and UTC. */
export type ReadValue = (bytes: Buffer, start: number, end: number) => string

/** The binary form of a type. */
export interface BinaryForm {
  /** Types of the same name have the same bytes on every server, but for ids of types in them. */
  readonly name: string
  /** Reads a value. Without it, values can be passed on but not read. */
  readonly read?: ReadValue
  /** Whether the bytes have ids of types, which differ between databases. */
  readonly hasIds?: boolean
  /** Whether the composite types in a value have the attributes of this form. Undefined without such types. */
  readonly isIntact?: (bytes: Buffer, start: number, end: number) => boolean
}

/** An attribute of a composite type. */
export interface AttributeForm {
  /** The id of its type. */
  readonly id: number
  readonly form: BinaryForm
}

/** Ids below are the same on every server. */
export const firstUnfixedId = 10_000

/** An enum: its values are their labels. */
export const enumForm: BinaryForm = { name: 'enum', read: (bytes, start, end) => bytes.toString('utf8', start, end) }

/** A domain in another type, which has its id. A column of a domain has the form of its base type. */
export function domainForm({ name, isIntact }: BinaryForm): BinaryForm {
  return { name: `domain of ${name}`, hasIds: true, ...(isIntact && { isIntact }) }
}

/** An array of a type that is not built in. */
export function arrayForm({ name, isIntact }: BinaryForm): BinaryForm {
  return {
    name: `${name}[]`,
    hasIds: true,
    ...(isIntact && { isIntact: (bytes, start, end) => areIntact(isIntact, bytes, start, end) }),
  }
}

/** A composite type. */
export function compositeForm(attributes: readonly AttributeForm[]): BinaryForm {
  return {
    name: `(${attributes.map(({ form }) => form.name).join(', ')})`,
    hasIds: attributes.some(({ id, form }) => form.hasIds || id >= firstUnfixedId),
    isIntact: (bytes, start) => isRecordIntact(attributes, bytes, start),
  }
}

/** A range of a type, or several. */
export function rangeForm({ name, hasIds = false }: BinaryForm, kind: 'range' | 'multirange'): BinaryForm {
  return { name: `${kind} of ${name}`, hasIds }
}

/** The header of an array: the number of its dimensions, whether it has nulls, and the id of its element type. */
const arrayHeader = 12

/** The length and the first index of a dimension. */
const dimension = 8

function areIntact(isIntact: NonNullable<BinaryForm['isIntact']>, bytes: Buffer, start: number, end: number): boolean {
  for (let at = start + arrayHeader + dimension * int32(bytes, start); at < end; ) {
    const length = int32(bytes, at)
    at += 4
    if (length < 0) continue
    if (!isIntact(bytes, at, at + length)) return false
    at += length
  }
  return true
}

/** The number of attributes, then the id of its type before the value of each. */
function isRecordIntact(attributes: readonly AttributeForm[], bytes: Buffer, start: number): boolean {
  if (int32(bytes, start) !== attributes.length) return false
  let at = start + 4
  for (const { id, form } of attributes) {
    if (int32(bytes, at) >>> 0 !== id) return false
    const length = int32(bytes, at + 4)
    at += 8
    if (length < 0) continue
    if (form.isIntact && !form.isIntact(bytes, at, at + length)) return false
    at += length
  }
  return true
}
