export {
  type DatasourceAbility,
  type DatasourceFixture,
  type DatasourceSuiteOptions,
  datasourceSuite,
} from './datasources/index.js'
export { type DispatcherFixture, type DispatcherSuiteOptions, dispatcherSuite } from './dispatchers/index.js'
export {
  type StorageCreateOptions,
  type StorageFixture,
  type StorageSuiteOptions,
  storageSuite,
} from './storages/index.js'
export type { SuiteTest, Unsupported } from './suite.js'
export {
  type TargetAbility,
  type TargetCreateOptions,
  type TargetFixture,
  type TargetRecord,
  type TargetSuiteOptions,
  targetSuite,
} from './targets/index.js'
