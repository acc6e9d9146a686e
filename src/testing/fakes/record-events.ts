import { AssertionError } from 'node:assert'
import { clearTimeout, setTimeout } from 'node:timers'
import { checkOptions, checkValue, rule } from '../../adapter.js'
import { type JobEventName, type JobEvents, type JobListener, type JobState, jobEventNames } from '../../index.js'

/** The part of a registry that the recorder uses. */
export interface EventSource {
  /** Calls `listener` for every event with that name. Returns a function that removes the listener. */
  on<Name extends JobEventName>(name: Name, listener: JobListener<Name>): () => void
}

/** A recorded event, with its name. */
export type RecordedEvent<Name extends JobEventName = JobEventName> = {
  [Each in Name]: { name: Each } & JobEvents[Each]
}[Name]

/** Records the events of a registry. */
export interface EventRecorder {
  /** Every event, in order. A change appears twice: as `status`, and by its specific name. */
  readonly events: readonly RecordedEvent[]
  /** The states that a job went through, in order, over all its executions. */
  states(type: string, id: string): JobState[]
  /**
   * Resolves with the first event of that name that matches `predicate`, past or future. Rejects with an `AssertionError` that lists
   * the recorded events, when none matches within the recorder's timeout or before `stop`. Rejects with `invalid_options` for an unknown name.
   */
  waitFor<Name extends JobEventName>(
    name: Name,
    predicate?: (event: RecordedEvent<Name>) => boolean,
  ): Promise<RecordedEvent<Name>>
  /** Stops recording. Recorded events stay. */
  stop(): void
}

/** The options of {@link recordEvents}. */
export interface RecordEventsOptions {
  /** How long `waitFor` waits, in milliseconds of real time, not of the registry's clock. Default 5,000. */
  timeout?: number
}

interface Wait {
  offer(event: RecordedEvent): void
  giveUp(why: string): void
}

/**
 * Records all later events of a registry, so that a test can wait for one instead of sleeping. Throws `invalid_options` when an option is
 * unknown or not valid.
 */
export function recordEvents(registry: EventSource, options: RecordEventsOptions = {}): EventRecorder {
  checkValue('registry', registry, rule.having('on'))
  checkOptions('options', options, { timeout: rule.optional(rule.milliseconds(0)) })
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
    async waitFor(name, predicate = () => true) {
      checkValue('name', name, rule.oneOf(...jobEventNames))
      checkValue('predicate', predicate, rule.aFunction)
      return new Promise((resolve, reject) => {
        const settle = (act: () => void) => {
          clearTimeout(timer)
          waits.delete(wait)
          act()
        }
        const wait: Wait = {
          offer(event) {
            // The name determines the type, which the compiler cannot infer through the generic.
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
