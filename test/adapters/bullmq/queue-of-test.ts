import { randomUUID } from 'node:crypto'
import { Queue } from 'bullmq'
import type { Dispatcher } from 'headgate'
import { type BullmqDispatcherOptions, bullmqDispatcher } from 'headgate/bullmq'
import { afterEach, beforeEach } from 'vitest'

/** The options of a dispatcher, except for its queue. */
export type EngineOptions = Omit<BullmqDispatcherOptions, 'queue'>

/** A new queue for each test. What is opened on it closes after the test. */
export interface QueueOfTest {
  readonly name: string
  /** Creates a dispatcher on the queue. */
  open(): Dispatcher
  /** Opens the queue of a name, by default this one, as BullMQ shows it. */
  look(name?: string): Queue
  /** Closes the dispatchers. */
  close(): Promise<void>
}

export function queueOfTest(options: () => EngineOptions): QueueOfTest {
  let queue = ''
  const opened: Dispatcher[] = []
  const queues: Queue[] = []
  const close = async () => void (await Promise.all(opened.splice(0).map((dispatcher) => dispatcher.close?.())))
  beforeEach(() => {
    queue = randomUUID()
  })
  afterEach(async () => {
    await close()
    await Promise.all(queues.splice(0).map((each) => each.close()))
  })
  return {
    get name() {
      return queue
    },
    open() {
      const dispatcher = bullmqDispatcher({ ...options(), queue })
      opened.push(dispatcher)
      return dispatcher
    },
    look(name = queue) {
      const { connection, backend, prefix } = options()
      const reached = typeof connection === 'string' ? { url: connection } : connection
      const each = new Queue(name, { connection: reached as never, ...(prefix && { prefix }) }, backend as never)
      each.on('error', () => {})
      queues.push(each)
      return each
    },
    close,
  }
}
