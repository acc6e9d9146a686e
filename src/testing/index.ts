export type { DatasourceFixture } from './_datasource-cases.js'
export type { Inabilities, SuiteTest } from './_suite.js'
export type { TargetFixture, TargetRecord } from './_target-run.js'
export {
  type CollectingTarget,
  type CollectingTargetOptions,
  collectingTarget,
  type TargetCall,
  type TargetFaults,
} from './collecting-target.js'
export { type DatasourceSuiteOptions, datasourceSuite } from './datasource-suite.js'
export { type DispatcherFixture, type DispatcherSuiteOptions, dispatcherSuite } from './dispatcher-suite.js'
export { type FakeClock, fakeClock } from './fake-clock.js'
export {
  type EventRecorder,
  type EventSource,
  type RecordEventsOptions,
  type RecordedEvent,
  recordEvents,
} from './record-events.js'
export {
  type StorageCreateOptions,
  type StorageFixture,
  type StorageSuiteOptions,
  storageSuite,
} from './storage-suite.js'
export {
  type TargetCreateOptions,
  type TargetSuiteOptions,
  targetSuite,
} from './target-suite.js'
export {
  type DatasourceFaults,
  type TestDatasource,
  type TestRead,
  type TestRecords,
  testDatasource,
} from './test-datasource.js'
