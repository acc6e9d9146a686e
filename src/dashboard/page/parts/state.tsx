import type { RemoteStatus } from '../../../client/index.js'
import { Icon, type IconName } from './icon.js'

/** A state of an execution, or that a job never ran. */
export type ShownState = RemoteStatus['state'] | 'never'

/** What the page says of each state. */
export const stateWords: Record<ShownState, string> = {
  queued: 'Queued',
  running: 'Running',
  aborting: 'Aborting',
  aborted: 'Aborted',
  error: 'Failed',
  successful: 'Succeeded',
  never: 'Never ran',
}

/** The state of an execution: a shape, a word and a colour that say the same. */
export function State({ state, isBadge = false }: { state: ShownState; isBadge?: boolean }) {
  return (
    <span class={`state is-${state} ${isBadge ? 'badge' : ''}`}>
      <Icon name={state} />
      {stateWords[state]}
    </span>
  )
}

/** Something that is not a state of an execution, in the same form. */
export function Mark({ icon, tone, text }: { icon: IconName; tone: string; text: string }) {
  return (
    <span class={`state is-${tone}`}>
      <Icon name={icon} />
      {text}
    </span>
  )
}
