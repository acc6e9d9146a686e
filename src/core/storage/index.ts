export { checkedStorage } from './checked-storage.js'
export { featureOf } from './feature-of.js'
export { findEnded } from './find-ended.js'
export type {
  AbortRequest,
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
export type {
  EndClaim,
  JobName,
  OpenEnds,
  Pause,
  PauseRequest,
  PauseScope,
  Pauses,
  ResetRequest,
  ResetResult,
} from './management.js'
export { allLive, pageOf, pageSize, pagesOf } from './pages.js'
export { type WatchedStorage, watchedStorage } from './watched-storage.js'
