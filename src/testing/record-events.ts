import { AssertionError } from 'node:assert'
import { clearTimeout, setTimeout } from 'node:timers'
import { type JobEventName, type JobEvents, type JobListener, type JobState, jobEventNames } from '../index.js'

/** What the recorder needs of a registry. */
export interface EventSource {
  /** Calls `listener` at every event of that name. Gives the function that takes it off. */
  on<Name extends JobEventName>(name: Name, listener: JobListener<Name>): () => void
}

/** An event as it was recorded: its name, and what listeners were told. */
export type RecordedEvent<Name extends JobEventName = JobEventName> = {
  [Each in Name]: { name: Each } & JobEvents[Each]
}[Name]

/** All that a registry told its listeners. */
export interface EventRecorder {
  /** Every event, in order. A change shows twice: as `status`, and by its own name. */
  readonly events: readonly RecordedEvent[]
  /** The states that a job went through, in order, over all its executions. */
  states(type: string, id: string): JobState[]
  /**
   * Resolves with the first event of that name that fits `predicate`, recorded already or still to come. Throws an
   * `AssertionError` with what was seen when none comes within the recorder's timeout, or before it is stopped.
   */
  waitFor<Name extends JobEventName>(
    name: Name,
    predicate?: (event: RecordedEvent<Name>) => boolean,
  ): Promise<RecordedEvent<Name>>
  /** Takes the recorder off the registry. What was recorded stays. */
  stop(): void
}

/** How to record. */
export interface RecordEventsOptions {
  /** How long `waitFor` waits, in milliseconds of real time, whatever clock the registry has. Default 5,000. */
  timeout?: number
}

interface Wait {
  offer(event: RecordedEvent): void
  giveUp(why: string): void
}

/** Records every event of a registry from now on, so that a test can wait for one instead of sleeping. */
export function recordEvents(registry: EventSource, options: RecordEventsOptions = {}): EventRecorder {
  const { timeout = 5000 } = options
  const events: RecordedEvent[] = []
  const waits = new Set<Wait>()
  const record = (event: RecordedEvent) => {
    events.push(event)
    for (const wait of waits) wait.offer(event)
  }
  const stops = jobEventNames.map((name) => registry.on(name, (event) => record({ name, ...event } as RecordedEvent)))

  return {
    events,
    states: (type, id) => events.filter((event) => event.type === type && event.id === id).flatMap(stateOf),
    waitFor(name, predicate = () => true) {
      return new Promise((resolve, reject) => {
        const settle = (act: () => void) => {
          clearTimeout(timer)
          waits.delete(wait)
          act()
        }
        const wait: Wait = {
          offer(event) {
            // Of one name, so of the type that the name stands for: the compiler cannot see it through the generic.
            const named = event as RecordedEvent<typeof name>
            try {
              if (event.name === name && predicate(named)) settle(() => resolve(named))
            } catch (error) {
              settle(() => reject(error))
            }
          },
          giveUp(why) {
            const message = `Expected an event \`${name}\` ${why}, saw ${show(events)}`
            settle(() => reject(new AssertionError({ message })))
          },
        }
        const timer = setTimeout(() => wait.giveUp(`within ${timeout} ms`), timeout)
        waits.add(wait)
        for (const event of events) wait.offer(event)
      })
    },
    stop() {
      for (const stop of stops) stop()
      for (const wait of waits) wait.giveUp('before the recorder was stopped')
    },
  }
}

function stateOf({ name }: RecordedEvent): JobState[] {
  return name === 'status' || name === 'progress' ? [] : [name]
}

function show(events: readonly RecordedEvent[]): string {
  const lines = events
    .filter(({ name }) => name !== 'status')
    .map(({ name, type, id, status }) => `\n  ${name} [${type}/${id}] count ${status.count}`)
  return lines.join('') || 'none'
}
