export type { RecordCursor, RecordStream } from '../shared/index.js'
export {
  type OpenStream,
  type StreamContext,
  type StreamDatasourceOptions,
  streamDatasource,
} from './datasource.js'
