export { type ElasticsearchDatasourceOptions, elasticsearchDatasource } from './datasource.js'
export {
  type ElasticsearchTargetOptions,
  elasticsearchTarget,
  type SearchAuth,
  type SearchClient,
  type SearchTls,
} from './target.js'
