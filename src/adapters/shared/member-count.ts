import { JobError } from '../../adapter.js'

/** How deep a value is nested at most: a `toJSON` or a getter may make new objects without end. */
export const maxDepth = 100_000

/** How many members a value has at most, those of nested objects and arrays included: each takes memory until all is written. */
export const maxMembers = 20_000_000

/** How many members are written before all are counted: to write these takes a moment. */
const maxUncounted = 100_000

/** A path for a message: at most its first 20 names and 200 characters. */
export function shownPath(names: readonly string[]): string {
  return names.slice(0, 20).join('').replace(/^\./, '').slice(0, 200)
}

/** The error for a value that is too large. `path` is where, if that is known. */
export function tooLargeError(what: string, path = ''): JobError {
  const where = path === '' ? '' : ` in \`${path}\``
  return new JobError('target', `Expected a value that JSON can hold, got one that is ${what}${where}.`)
}

/**
 * Checks how many members of a value are written so far. Counts all of them once there are some: shared ones would otherwise be written again
 * and again, before they are too many.
 */
export function memberCheck(root: object): (written: number, path?: () => string) => void {
  let isCounted = false
  return (written, path = () => '') => {
    if (written <= maxUncounted) return
    const tooMany = written > maxMembers ? path() : isCounted ? undefined : pathOfTooMany(root, maxMembers)
    if (tooMany !== undefined) throw tooLargeError(`larger than ${maxMembers} members`, tooMany)
    isCounted = true
  }
}

/** An object or array whose members are being counted. */
interface Counted {
  readonly value: object
  readonly members: readonly unknown[]
  next: number
  sum: number
}

/**
 * Where a value has more members than `limit`, or `undefined` if it has not. Counts an object that is shared once, so that the time depends on how many there are, and
 * not on how often they are written. What `toJSON` makes of an object is not known, and counts as nothing.
 */
function pathOfTooMany(root: object, limit: number): string | undefined {
  const sums = new Map<object, number>()
  const begin = (value: object): Counted => {
    const members = Array.isArray(value) ? value : Object.values(value)
    // A circular reference is reported when it is written.
    sums.set(value, 0)
    return { value, members, next: 0, sum: members.length }
  }
  const open = [begin(root)]
  for (let at = open.at(-1); at; at = open.at(-1)) {
    if (at.sum > limit || sums.size > limit) return shownPath(open.slice(0, 20).map(nameOfCounted))
    if (open.length > maxDepth) return undefined
    const member = at.members[at.next++]
    if (at.next > at.members.length) {
      open.pop()
      sums.set(at.value, at.sum)
      const parent = open.at(-1)
      if (parent) parent.sum += at.sum
    } else if (typeof member === 'object' && member !== null && !hasOwnForm(member)) {
      const known = sums.get(member)
      if (known === undefined) open.push(begin(member))
      else at.sum += known
    }
  }
  return undefined
}

/** The name of the member that is being counted. Empty before the first one. */
function nameOfCounted({ value, next }: Counted): string {
  if (next === 0) return ''
  return Array.isArray(value) ? `[${next - 1}]` : `.${Object.keys(value)[next - 1]}`
}

/** Whether an object is not written member by member. */
function hasOwnForm(value: object): boolean {
  return ArrayBuffer.isView(value) || ('toJSON' in value && typeof value.toJSON === 'function')
}
