/** Throws `target` for the text of a value that the server would change without an error. `isNumber` says that it is the text of a number of JavaScript. */
export type Check = (text: string, isNumber?: boolean) => void

/** What writing needs to know about the type of a column. */
export interface ColumnKind {
  /** Its SQL type, without length or precision. */
  readonly sqlType: string
  /** Its SQL type, with length or precision. */
  readonly fullType: string
  /** Throws `target` for the text of a value that the column would change. Undefined for a column that changes none. */
  readonly check?: Check | undefined
  /** The name of the binary form that it takes; undefined for a type that takes text only. */
  readonly form?: string | undefined
  /** Whether it holds JSON. */
  readonly isJson: boolean
  /** Whether it holds dates, with or without a time. */
  readonly isDate: boolean
  /**
   * Whether it takes the JSON of an object as a value: JSON, text or a custom type. Other types would reject it or
   * read it as something else.
   */
  readonly takesJson: boolean
  /** Whether no update may set it, as for an identity that is `generated always`. */
  readonly isFixed?: boolean
  /** Whether its type is a domain, which may refuse null. */
  readonly isDomain?: boolean
  /** The type of the elements of an array. */
  readonly element?: ColumnKind
  /** The delimiter of an array of this type. */
  readonly delimiter: string
}
