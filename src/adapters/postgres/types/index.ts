export { TypeGraph } from './type-graph.js'
export { domainClausesQuery, firstUserId, hasFixedId, typesQuery } from './type-query.js'
