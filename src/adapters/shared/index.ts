export { connectionSecrets } from './connection-secrets.js'
export { digestOf, markOf } from './digest.js'
export { type BigNumbers, encodeText, NdjsonEncoder } from './json-encoder.js'
export {
  countsOnRows,
  damagedKept,
  type EmptiedBy,
  emptiedByOther,
  emptiedMarkOf,
  emptiedWarning,
  hasOtherScheme,
  isBegun,
  isLater,
  type KeptRows,
  keyOf,
  laterExecution,
  markedRows,
  mayHaveRows,
  parseKept,
  partitionKeysOf,
  ResetExecutions,
  resetSuffix,
  withPartition,
} from './kept-rows/index.js'
export { loadDriver } from './load-driver.js'
export { maxMembers, memberCheck, tooLargeError } from './member-count.js'
export { checkGiven, MemoryRead, type MemoryRecords } from './memory-read/index.js'
export { checkOneOption } from './one-option.js'
export { invalidDate, isOpaque, isWrapper, nameOf, notJson, refused } from './opaque-values.js'
export { placeholderHint } from './placeholders.js'
export { checkRecord, type RecordIterator, RecordReader } from './record-reader.js'
export { shown } from './shown.js'
export { defaultMaxShrink, fewestInPlaceOf, shrinkError } from './shrink-guard.js'
export { defaultSilenceTimeout, SilenceWatch } from './silence.js'
export { sizeOf } from './size-of.js'
export { cancelStream, type RecordCursor, type RecordStream, readStream, type StreamSource } from './stream-reader.js'
export { checkTableParts } from './table-parts.js'
export { checkWriteMode } from './write-mode.js'
