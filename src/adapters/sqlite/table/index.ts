export { type ColumnKind, kindOf } from './column-kind.js'
export { createTable, type TableShape } from './create-table.js'
export { storedValue } from './stored-value.js'
export { findTable, lowerCase, refuseReferred, type Table, type TableColumn } from './table.js'
