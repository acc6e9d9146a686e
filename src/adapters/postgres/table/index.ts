export { CopyRows, type RowGroup } from './copy-rows.js'
export { createTable, type TableShape } from './create-table.js'
export { advisory, isLockTimeout, Locks, maxTries } from './locks.js'
export { raiseToRows } from './sequences.js'
export {
  findTable,
  findTableRef,
  type Guard,
  isLoose,
  parseTableName,
  refuseRules,
  type Table,
  type TableRef,
  withoutRules,
} from './table.js'
export { refuseTruncate } from './truncate-obstacles.js'
