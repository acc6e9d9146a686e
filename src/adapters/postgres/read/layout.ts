import type { BatchOptions, Column } from '../../../adapter.js'
import { type Field, formatOf, type RowFormat } from '../protocol/index.js'
import { checkSameFields, columnsOf } from './columns.js'
import type { KnownTypes } from './field-types.js'

/** The columns of a query, and how its rows are read. */
export interface Layout {
  readonly columns: readonly Column[]
  /** Returns the format of rows with these fields. Throws `datasource` when the columns of the query have changed. */
  formatOf(now: readonly Field[]): RowFormat
}

export function layoutOf(fields: readonly Field[], { typeOf, formOf }: KnownTypes, options: BatchOptions): Layout {
  const columns = columnsOf(fields, typeOf)
  return {
    columns,
    formatOf(now) {
      checkSameFields(fields, now)
      return formatOf(now.map(formOf), columns, options)
    },
  }
}
