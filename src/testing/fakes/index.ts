export {
  type CollectingTarget,
  type CollectingTargetOptions,
  collectingTarget,
  type TargetCall,
  type TargetFaults,
} from './collecting-target.js'
export { type FakeClock, fakeClock } from './fake-clock.js'
export { type HeldJob, type HeldJobOptions, heldJob } from './held-job.js'
export {
  type EventRecorder,
  type EventSource,
  type RecordEventsOptions,
  type RecordedEvent,
  recordEvents,
} from './record-events.js'
export {
  type DatasourceFaults,
  type TestDatasource,
  type TestRead,
  type TestRecords,
  testDatasource,
} from './test-datasource.js'
