export {
  type IterableDatasourceOptions,
  iterableDatasource,
  type Records,
  type RecordsContext,
  type RecordsFunction,
} from './datasource.js'
