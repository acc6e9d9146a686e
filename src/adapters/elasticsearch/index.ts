export {
  type ElasticsearchTargetOptions,
  elasticsearchTarget,
  type SearchAuth,
  type SearchClient,
  type SearchTls,
} from './target.js'
