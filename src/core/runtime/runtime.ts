import type { EventEmitter } from 'eventemitter3'
import type { Clock, Logger } from '../base/index.js'
import type { BatchEvent } from '../events/index.js'
import type { ExecutionRecord, Notified } from '../model/index.js'
import type { Redactor } from '../redaction/index.js'
import type { JobStorage, StorageChange } from '../storage/index.js'

/** The events between the parts of a registry. Listeners are called in the order in which they subscribed, and do not throw. */
export type RuntimeEvents = EventEmitter<{
  /** An execution of this registry changed, and storage holds the change. `cause` is what its job threw. */
  changed: [record: ExecutionRecord, change: 'state' | 'progress', cause?: unknown]
  /** The job of an execution of this registry has ended, and storage does not hold that yet. `cause` is what it threw. */
  ending: [record: ExecutionRecord, cause?: unknown]
  /** A job of this registry has written a batch. */
  batch: [batch: BatchEvent]
  /** Storage reports that an execution of any registry, including this one, changed its state. */
  storageChange: [change: StorageChange]
}>

/** What the parts of a registry share. */
export interface Runtime extends Pick<Notified, 'onEnd'> {
  readonly storage: JobStorage
  readonly clock: Clock
  readonly logger: Logger
  /** Redacts secrets in what is stored, emitted and logged. */
  readonly redactor: Redactor
  /** The name of the registry instance. */
  readonly node: string
  /** The duration of a lease, in milliseconds. */
  readonly lease: number
  /** Minimum time between two saves of progress, in milliseconds. */
  readonly progressInterval: number
  /** The time limit of a call of `onEnd`, in milliseconds. */
  readonly onEndTimeout: number
  /** Aborts when calls that storage does not answer are given up, shortly before the storage is closed. */
  readonly abandoned: AbortSignal
  readonly events: RuntimeEvents
}
