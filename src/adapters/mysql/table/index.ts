export type { ColumnKind, Storage } from './column-kind.js'
export { createTable, type TableShape } from './create-table.js'
export { findTable, hasSameDefinition, namesOf, refOf, type Table, type TableRef, type UniqueKey } from './table.js'
