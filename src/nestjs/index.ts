export { type HeadgateHealth, HeadgateHealthIndicator, type HealthIndicatorOptions } from './health-indicator.js'
export {
  getRegistryToken,
  type IngestionDecorator,
  type IngestionMembers,
  type IngestionOptions,
  InjectRegistry,
  Job,
  type JobMethod,
  type OwnJobDecorator,
  type OwnJobOptions,
} from './job-decorator.js'
export { type ConfiguredModule, HeadgateModule } from './module.js'
export type {
  ApiMountOptions,
  DashboardMountOptions,
  HeadgateModuleAsyncOptions,
  HeadgateModuleOptions,
  HeadgateModuleSettings,
  Injected,
} from './module-options.js'
export type { MountOptions } from './mount.js'
