/** A copy of a value whose plain objects and arrays are frozen, at every depth. Other objects, such as dates, are the same. */
export function frozenCopy<Value>(value: Value): Value {
  return copyOf(value) as Value
}

function copyOf(value: unknown): unknown {
  if (Array.isArray(value)) return Object.freeze(value.map(copyOf))
  if (typeof value !== 'object' || value === null) return value
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== null && prototype !== Object.prototype) return value
  const entries = Object.entries(value).map(([name, item]) => [name, copyOf(item)] as const)
  return Object.freeze(Object.fromEntries(entries))
}
