export type { OverdueSchedule } from '../scheduling/index.js'
export type { HealthOptions, RegistryHealth, StorageHealth } from './health.js'
export type { DefinedJob, JobPause } from './job-list.js'
export { type ReadinessCheck, type ReadyOptions, readyRules } from './readiness.js'
export { Registry } from './registry.js'
export type {
  AbortOptions,
  CloseOptions,
  ListenOptions,
  ListOptions,
  PauseOptions,
  RegistryOptions,
  ResetOptions,
  StartOptions,
  WaitingOptions,
} from './registry-options.js'
