export { checkedStorage } from './checked-storage.js'
export { findEnded } from './find-ended.js'
export type {
  BeginRequest,
  BeginResult,
  ClaimRequest,
  ExecutionPage,
  FinishRequest,
  JobStorage,
  LeaseToken,
  LiveFilter,
  PageRequest,
  RenewRequest,
  SearchFilter,
  SearchResult,
  StorageChange,
  StorageFilter,
} from './job-storage.js'
export { canBegin, leaseExpired } from './lease-rules.js'
export { allLive, pageOf, pageSize, pagesOf } from './pages.js'
export { type WatchedStorage, watchedStorage } from './watched-storage.js'
