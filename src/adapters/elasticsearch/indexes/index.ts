export {
  countDocuments,
  createIndex,
  deleteIndex,
  findIndexes,
  type IndexFacts,
  type IndexShape,
  pathOf,
  refreshIndex,
} from './index-calls.js'
